"""`anatomaly train calibrate`: what healthy people score, and thresholds that keep them quiet.

Healthy scans of every sequence are drawn: for the maps from people of the training, for the
thresholds from people that it never saw. A patient is never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from anatomaly.anomaly.healthy_residual import measure_healthy_residual, pool_cells
from anatomaly.anomaly.hybrid_score import AUTO_POLARITY
from anatomaly.config import AnomalyConfig
from anatomaly.engine import RebuiltScan
from anatomaly.errors import TrainingError
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.cohort import Subject, load_cohort
from anatomaly.training.validation import (
    HEALTHY,
    ValidationScan,
    draw_validation,
    healthy_threshold,
    load_refine,
    rebuild_scan,
    score_scan,
)
from anatomaly.types import SEQUENCES, FloatArray, Sequence, Sign
from anatomaly.weights import (
    HEALTHY_FILE,
    SIGNS,
    Choice,
    choice_for,
    healthy_key,
    healthy_residual_of,
    load_model,
    update_card,
    write_tensors,
)

CALIBRATION_SEED = 980_001
VOXEL_ML = 0.001
LEAST_PROBABILITY = 0.5
"""Lowest threshold of the refined score: a voxel that is rather healthy is no lesion."""


@dataclass(frozen=True)
class CalibrationConfig:
    """What `train calibrate` is told.

    Attributes:
        weights: folder, whose card is updated; its choices are calibrated.
        people: cached healthy people for the maps (`prepare_scans`, `prepare_label_maps`).
        controls: cache of others, for the thresholds.
        count: scans a sequence drawn from people.
        controls_count: scans a sequence drawn from controls.
        device: torch device.
    """

    weights: Path
    people: tuple[Path, ...]
    controls: Path
    count: int = 16
    controls_count: int = 8
    device: str = "cpu"


def calibrate(config: CalibrationConfig, say: Callable[[str], None] = lambda _: None) -> None:
    """Measure healthy people, choose thresholds, and write both beside the weights.

    Args:
        config: weights and people.
        say: receives one line for each sequence.

    Raises:
        TrainingError: no healthy people are cached.
        WeightsError: the weights cannot be used.
    """
    folder = config.weights.resolve()
    model, card = load_model(str(folder))
    model.to(config.device)
    people = [subject for cache in config.people for subject in load_cohort(cache)]
    if not people:
        raise TrainingError("no prepared people to measure; --run names the folder of a training")
    controls = load_cohort(config.controls)
    if both := {p.name for p in people} & {p.name for p in controls}:
        raise TrainingError(f"controls were trained on: {', '.join(sorted(both))}")
    maps, thresholds = dict[str, Tensor](), dict[str, float]()
    for sequence in SEQUENCES:
        choice = choice_for(card, sequence)
        cells: dict[Sign, list[FloatArray]] = {sign: [] for sign in SIGNS}
        for scan, rebuilt in _rebuild_drawn(model, choice, people, sequence, config.count, 0):
            for sign in SIGNS:
                every = AnomalyConfig(polarity=sign, score="residual", erosion_mm=0.0)
                cells[sign].append(pool_cells(score_scan(scan, rebuilt, every), scan.brain_mask))
        for sign in SIGNS:
            healthy = torch.from_numpy(measure_healthy_residual(cells[sign])).half()
            maps[healthy_key(sequence, sign)] = healthy
        measured = {name: healthy.float().numpy() for name, healthy in maps.items()}
        expected = healthy_residual_of(measured, sequence, AUTO_POLARITY[sequence])
        refine = load_refine(model, card, str(folder)) if choice.score == "refined" else None
        found = _rebuild_drawn(model, choice, controls, sequence, config.controls_count, 500)
        scored = [
            score_scan(scan, rebuilt, AnomalyConfig(score=choice.score), expected, refine)
            for scan, rebuilt in found
        ]
        least = LEAST_PROBABILITY if choice.score == "refined" else 0.0
        thresholds[sequence] = round(max(healthy_threshold(scored, VOXEL_ML), least), 4)
        say(f"{sequence}: threshold {thresholds[sequence]}")
    digest = write_tensors(folder / HEALTHY_FILE, maps)
    update_card(folder, {"thresholds": thresholds, "healthy_sha256": digest})


def _rebuild_drawn(
    model: PseudoHealthyModel,
    choice: Choice,
    people: list[Subject],
    sequence: Sequence,
    count: int,
    seed: int,
) -> Iterator[tuple[ValidationScan, RebuiltScan]]:
    """Healthy scans, drawn and rebuilt."""
    scans = draw_validation(
        people, [], sequence, count, kinds=HEALTHY, seed=CALIBRATION_SEED + seed
    )
    for scan in scans:
        yield scan, rebuild_scan(model, scan, [(choice.route, choice.reuse)])[0]
