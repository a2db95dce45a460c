"""Weights and the contract they carry.

A card says what they were made from, for which preparation, and how well they do. A file whose
hash, or whose preparation, is another one is refused.

Nothing here imports torch before tensors are asked for.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anatomaly.errors import WeightsError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, TEMPLATE_SPACE
from anatomaly.preprocess.normalise import HIGH_PERCENTILE, LOW_PERCENTILE
from anatomaly.types import Reuse, Route, ScoreName

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_WEIGHTS = "synthetic-1"
"""What `default` stands for."""

CARD_FILE, TENSOR_FILE = "card.json", "model.safetensors"


@dataclass(frozen=True)
class WeightsCard:
    """What a set of weights says of itself (`card.json` beside `model.safetensors`).

    Attributes:
        name: of the folder.
        date: ISO date of the export.
        sha256: of `model.safetensors`.
        preparation: hash of the preparation the weights expect (`preparation_hash`).
        thresholds: default threshold on the anomaly map for each sequence.
        route: that did best on validation, and that the thresholds belong to.
        reuse: the same, see `engine.rebuild`.
        score: the same.
        licence: of the weights.
        training_data: what they saw, with licence and origin.
        recipe: commands that make them again.
        steps: optimiser steps of each stage.
        hardware: what they were trained on, and for how long.
        figures: measured, with the command that measures them.
        limits: what they are not good at.
    """

    name: str
    date: str
    sha256: str
    preparation: str
    thresholds: dict[str, float]
    route: Route = "edges"
    reuse: Reuse = "learned"
    score: ScoreName = "hybrid"
    licence: str = ""
    training_data: list[str] = field(default_factory=list)
    recipe: list[str] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    hardware: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    limits: list[str] = field(default_factory=list)


def preparation_hash() -> str:
    """Return 12 hex digits that change when the prepared image changes its meaning.

    Covers the working grid, the template space and the intensity scale.
    """
    contract = {
        "shape": TEMPLATE_SHAPE,
        "affine": TEMPLATE_AFFINE.tolist(),
        "space": TEMPLATE_SPACE,
        "percentiles": [LOW_PERCENTILE, HIGH_PERCENTILE],
    }
    return hashlib.sha256(json.dumps(contract, sort_keys=True).encode()).hexdigest()[:12]


def bundled_folder() -> Path:
    """Return the folder of the weights that ship with the package."""
    return Path(str(files("anatomaly") / "weights"))


def find_weights(name_or_folder: str) -> Path:
    """Return the folder of a set of weights: `default`, a bundled name, or a folder of your own.

    Raises:
        WeightsError: there is no such set.
    """
    name = DEFAULT_WEIGHTS if name_or_folder == "default" else name_or_folder
    for folder in (bundled_folder() / name, Path(name_or_folder).expanduser()):
        if (folder / CARD_FILE).is_file() and (folder / TENSOR_FILE).is_file():
            return folder
    known = ", ".join(card.name for card in list_weights()) or "none"
    raise WeightsError(
        f"no weights called {name_or_folder!r}: bundled are {known}; a folder of your own needs "
        f"{TENSOR_FILE} and {CARD_FILE}"
    )


def read_card(folder: Path) -> WeightsCard:
    """Read the card of a set of weights.

    Raises:
        WeightsError: the card is no JSON object or lacks a required entry.
    """
    known = {f.name for f in fields(WeightsCard)}
    try:
        content = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        return WeightsCard(**{k: v for k, v in content.items() if k in known})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder / CARD_FILE}: not a weights card: {error}") from error


def list_weights() -> list[WeightsCard]:
    """Return the cards of the bundled weights, by name."""
    folder = bundled_folder()
    if not folder.is_dir():
        return []
    return [read_card(f) for f in sorted(folder.iterdir()) if (f / CARD_FILE).is_file()]


def load_weights(name_or_folder: str) -> tuple[dict[str, Tensor], WeightsCard]:
    """Load tensors (float32) after checking hash and preparation.

    Raises:
        WeightsError: missing, damaged, or made for another preparation.
    """
    folder = find_weights(name_or_folder)
    card = read_card(folder)
    path = folder / TENSOR_FILE
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != card.sha256:
        raise WeightsError(
            f"{path}: SHA-256 {found[:12]}… is not the card's {card.sha256[:12]}…: the file is "
            "damaged or was replaced; install the package again"
        )
    if card.preparation != preparation_hash():
        raise WeightsError(
            f"{card.name}: made for preparation {card.preparation}, this version prepares as "
            f"{preparation_hash()}: use the version of anatomaly that the weights came with"
        )
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file: {error}") from error
    return {name: tensor.float() for name, tensor in tensors.items()}, card
