"""What a set of weights says of itself: `card.json` beside the tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from anatomaly.config import AnomalyConfig
from anatomaly.errors import ConfigError, WeightsError
from anatomaly.healthy_volume import HealthyVolume
from anatomaly.method import Method
from anatomaly.types import MrSequence
from anatomaly.whole_file import whole_file

CARD_FILE = "card.json"


@dataclass(frozen=True)
class WeightsCard:
    """What a set of weights says of itself (`card.json` beside `model.safetensors`).

    Attributes:
        name: of the folder.
        date: ISO date of the export.
        sha256: of `model.safetensors`.
        preparation: hash of the preparation the weights expect (`preparation_hash`).
        thresholds: default threshold on the anomaly map for each sequence.
        methods: the method that did best on validation for each sequence, and that the thresholds
            belong to, in the form of `Method.to_json`.
        healthy_sha256: of `healthy_residual.safetensors`; empty without one.
        scorer_sha256: of `lesion_scorer.safetensors`; empty without one.
        probability: slope and offset, for each sequence, that make the logit of the refined score
            that of a probability; a sequence without them keeps its logit.
        licence: of the weights.
        training_data: what they saw, with licence and origin.
        recipe: commands that make them again.
        steps: optimiser steps of each stage.
        hardware: what they were trained on, and for how long.
        healthy_ml: what is found in healthy brains against the threshold, for each sequence, in
            the form of `healthy_volume.HealthyVolume`; with the methods above and the default
            least size.
        controls: of one's own scanner, for each sequence that `anatomaly calibrate` measured: how
            many, how sure the threshold is, and which planted lesions were found (`limit`).
        figures: measured, with the command that measures them.
        limits: what they are not good at.
    """

    name: str
    date: str
    sha256: str
    preparation: str
    thresholds: dict[str, float]
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    healthy_sha256: str = ""
    scorer_sha256: str = ""
    probability: dict[str, list[float]] = field(default_factory=dict)
    licence: str = ""
    training_data: list[str] = field(default_factory=list)
    recipe: list[str] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    hardware: str = ""
    healthy_ml: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    controls: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    limits: list[str] = field(default_factory=list)

    def method_for(self, sequence: MrSequence) -> Method:
        """Return how these weights rebuild and score a sequence; the paper's score if unsaid."""
        return Method.from_json(self.methods.get(sequence, {}))

    def probability_of(self, sequence: MrSequence) -> tuple[float, float]:
        """Return slope and offset of the refined score's logit for a sequence."""
        slope, offset = self.probability.get(sequence, (1.0, 0.0))
        return slope, offset


def read_card(folder: Path) -> WeightsCard:
    """Read the card of a set of weights.

    Raises:
        WeightsError: the card is no JSON object, lacks an entry, or holds one that cannot be.
    """
    known = {f.name for f in fields(WeightsCard)}
    try:
        content = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        card = WeightsCard(**{k: v for k, v in content.items() if k in known})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder / CARD_FILE}: not a weights card: {error}") from error
    try:
        _check_entries(card)
    except (AttributeError, ConfigError, WeightsError) as error:
        raise WeightsError(f"{folder / CARD_FILE}: {error}") from error
    return card


def _check_entries(card: WeightsCard) -> None:
    """Raise an error where a method, a healthy volume or a probability cannot be."""
    for method in card.methods.values():
        Method.from_json(method)
    for curve in card.healthy_ml.values():
        HealthyVolume.from_json(curve)
    for sequence, pair in card.probability.items():
        if len(pair) != 2 or not all(isinstance(v, int | float) for v in pair) or pair[0] <= 0:
            raise WeightsError(f"{sequence}: probability {pair!r} is no slope above 0 and offset")


def healthy_ml_for(
    card: WeightsCard, sequence: MrSequence, method: Method, min_lesion_mm3: float
) -> dict[str, Any]:
    """Return what `run.json` tells of healthy brains: the card's figures where they apply.

    Args:
        card: of the weights.
        sequence: of the scan.
        method: that was used; another than the card's makes another map.
        min_lesion_mm3: that was used; another than the default makes another mask.

    Returns:
        The entry of `WeightsCard.healthy_ml`, and the card's threshold as `default`; nothing
        where healthy brains were not measured so.
    """
    if not _is_as_measured(card, sequence, method, min_lesion_mm3):
        return {}
    if sequence not in card.healthy_ml or sequence not in card.thresholds:
        return {}
    return {**card.healthy_ml[sequence], "default": card.thresholds[sequence]}


def controls_for(
    card: WeightsCard,
    sequence: MrSequence,
    method: Method,
    min_lesion_mm3: float,
    threshold: float,
) -> dict[str, Any]:
    """Return what the card tells of the user's own controls, where it applies, else nothing.

    Args:
        card: of the weights.
        sequence: of the scan.
        method: that was used.
        min_lesion_mm3: that was used.
        threshold: that was used; at another one other lesions are found, so no `limit` is told.
    """
    if not _is_as_measured(card, sequence, method, min_lesion_mm3):
        return {}
    told = card.controls.get(sequence, {})
    same = threshold == card.thresholds.get(sequence)
    return told if same else {name: each for name, each in told.items() if name != "limit"}


def _is_as_measured(
    card: WeightsCard, sequence: MrSequence, method: Method, min_lesion_mm3: float
) -> bool:
    """Whether a mask was made as those that the card's figures are of."""
    return (method, min_lesion_mm3) == (card.method_for(sequence), AnomalyConfig.min_lesion_mm3)


def write_card(folder: Path, content: Mapping[str, Any]) -> None:
    """Write the card of a set of weights, whole or not at all."""
    with whole_file(folder / CARD_FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")


def update_card(folder: Path, entries: Mapping[str, Any]) -> None:
    """Change some entries of a card; the others stay, those of a later version too."""
    content = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    write_card(folder, content | entries)
