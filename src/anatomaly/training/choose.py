"""`anatomaly train choose`: the method that does best on drawn lesions, for each sequence.

Whole brains of held-out people with held-out lesion shapes are scored by every candidate; the best
mean average precision goes into the card of the weights. Never a real patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from anatomaly.method import PAPER, PAPER_NO_EDGES, REFINED, Method, usual_method
from anatomaly.networks import Networks, load_networks
from anatomaly.score import score_methods
from anatomaly.training.cohort import check_held_out, load_cohort
from anatomaly.training.synthesis.lesion_shapes import load_shapes
from anatomaly.training.validation import ValidationScan, draw_validation
from anatomaly.types import SEQUENCES
from anatomaly.weights_card import WeightsCard, read_card, update_card

BOTH = replace(usual_method("residual"), route="both", reuse="fitted")
PAPER_NAME = "paper: edges, learned, hybrid, both signs"
CANDIDATES: dict[str, Method] = {
    PAPER_NAME: PAPER,
    "… one sign": replace(PAPER, polarity="auto"),
    "… SSIM window σ 1 mm": replace(PAPER, ssim_sigma_mm=1.0),
    "… SSIM window σ 2.5 mm": replace(PAPER, ssim_sigma_mm=2.5),
    "… 1 − SSIM alone": replace(PAPER, score="structure"),
    "… residual alone, both signs": replace(PAPER, score="residual"),
    "… one sign, residual alone": usual_method("residual"),
    "… contrast adjusted by a fit": replace(usual_method("residual"), reuse="adjusted"),
    "… contrast fitted": replace(usual_method("residual"), reuse="fitted"),
    "without edges, hybrid": replace(PAPER_NO_EDGES, polarity="auto"),
    "without edges, residual": replace(usual_method("residual"), route="tissue_map"),
    "without edges, fitted, residual": replace(BOTH, route="tissue_map"),
    "both routes, fitted, hybrid": replace(BOTH, score="hybrid"),
    "both routes, fitted, residual": BOTH,
    "refined": REFINED,
    "refined, rim 3 mm": replace(REFINED, rim_mm=3.0),
    "refined, σ 1 mm": replace(REFINED, smoothing_mm=1.0),
    "refined, residual weighs 0": replace(REFINED, gap_weight=0.0),
    "refined, residual weighs 20": replace(REFINED, gap_weight=20.0),
}
"""The paper's way, one change after the other, and the refined score. Not the normalised one: it
reads what healthy people score by its own route, which `calibrate` measures of a chosen method."""


@dataclass(frozen=True)
class ChoiceConfig:
    """What `train choose` is told.

    Attributes:
        weights: folder, whose card is updated.
        people: cache of people that training never saw.
        trained: caches of those that it saw.
        lesions: folder with lesion shapes, of which those held out are used.
        count: drawn scans a sequence; a dozen choose by chance.
        device: torch device.
    """

    weights: Path
    people: Path
    trained: tuple[Path, ...]
    lesions: Path
    count: int = 21
    device: str = "cpu"


def choose_methods(config: ChoiceConfig, say: Callable[[str], None] = lambda _: None) -> None:
    """Score drawn scans by every candidate that the weights can do, and write the best ones.

    Args:
        config: weights and what is drawn.
        say: receives one line for each sequence.

    Raises:
        TrainingError: there are no people, or training saw one of them.
        WeightsError: the weights cannot be used.
    """
    folder = config.weights.resolve()
    card = read_card(folder)
    candidates = {name: m for name, m in CANDIDATES.items() if is_possible(m, card)}
    networks = load_networks(str(folder), list(candidates.values()), device=config.device)
    people = load_cohort(config.people)
    check_held_out(people, [subject for cache in config.trained for subject in load_cohort(cache)])
    shapes = load_shapes(config.lesions, config.people.parent, held_out=True)
    chosen: dict[str, Method] = {}
    for sequence in SEQUENCES:
        scans = draw_validation(people, shapes, sequence, config.count)
        precision = measure_precision(networks, scans, candidates)
        best = max(candidates, key=lambda name: float(np.mean(precision[name])))
        chosen[sequence] = candidates[best]
        say(f"{sequence}: {best}, mean AP {np.mean(precision[best]):.3f}")
    entries: dict[str, Any] = {"methods": {s: m.to_json() for s, m in chosen.items()}}
    for name in ("thresholds", "healthy_ml", "probability", "controls"):  # they belong to a method
        before = getattr(card, name)
        unchanged = [s for s in before if s in chosen and card.method_for(s) == chosen[s]]
        entries[name] = {sequence: before[sequence] for sequence in unchanged}
    update_card(folder, entries)
    say("thresholds belong to a method: run `anatomaly train calibrate` next")


def is_possible(method: Method, card: WeightsCard) -> bool:
    """Return whether weights bring what a method needs."""
    return method.score != "refined" or bool(card.scorer_sha256)


def measure_precision(
    networks: Networks, scans: Iterable[ValidationScan], candidates: dict[str, Method]
) -> dict[str, list[float]]:
    """Return the AP of every scan for each candidate."""
    precision: dict[str, list[float]] = {name: [] for name in candidates}
    for scan in scans:
        inside = scan.prepared.brain_mask
        scored = score_methods(networks, scan.prepared, list(candidates.values()))
        for name, one in zip(candidates, scored, strict=True):
            ap = average_precision_score(scan.lesion[inside], one.anomaly_map[inside])
            precision[name].append(float(ap))
    return precision
