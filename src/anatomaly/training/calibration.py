"""`anatomaly train calibrate`: what healthy people score, and thresholds that keep them quiet.

Healthy scans of every sequence are drawn: for the maps from people of the training, for the
thresholds, and what is still found at each of them, from people that it never saw. A patient is
never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from anatomaly.anomaly.healthy_residual import measure_healthy_residual, pool_cells
from anatomaly.anomaly.hybrid_score import AUTO_POLARITY
from anatomaly.anomaly.postprocess import threshold_map
from anatomaly.config import AnomalyConfig
from anatomaly.engine import RebuiltScan
from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.healthy_volume import HealthyVolume, measure_healthy_volume
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
from anatomaly.volume import Volume
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
    """Measure healthy people, choose thresholds, and write all of it beside the weights.

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
    people, controls = _load_people(config)
    maps, thresholds = dict[str, Tensor](), dict[str, float]()
    healthy_ml = dict[str, dict[str, list[float]]]()
    for sequence in SEQUENCES:
        choice = choice_for(card, sequence)
        maps |= _measure_maps(model, choice, people, sequence, config.count)
        refine = load_refine(model, card, str(folder)) if choice.score == "refined" else None
        score = partial(
            score_scan,
            config=AnomalyConfig(score=choice.score),
            healthy=_expected(maps, sequence),
            refine=refine,
        )
        found = _rebuild_drawn(model, choice, controls, sequence, config.controls_count, 500)
        scored = [score(scan, rebuilt) for scan, rebuilt in found]
        least = LEAST_PROBABILITY if choice.score == "refined" else 0.0
        thresholds[sequence] = round(max(healthy_threshold(scored, VOXEL_ML), least), 4)
        healthy_volume = measure_healthy_volume(scored, _found_ml)
        healthy_ml[sequence] = healthy_volume.to_json()
        say(_line(sequence, thresholds[sequence], healthy_volume))
    digest = write_tensors(folder / HEALTHY_FILE, maps)
    entries = {"thresholds": thresholds, "healthy_ml": healthy_ml, "healthy_sha256": digest}
    update_card(folder, entries)


def _load_people(config: CalibrationConfig) -> tuple[list[Subject], list[Subject]]:
    """Return who is measured for the maps, and the controls, whom training never saw."""
    people = [subject for cache in config.people for subject in load_cohort(cache)]
    if not people:
        raise TrainingError("no prepared people to measure; --run names the folder of a training")
    controls = load_cohort(config.controls)
    if both := {p.name for p in people} & {p.name for p in controls}:
        raise TrainingError(f"controls were trained on: {', '.join(sorted(both))}")
    return people, controls


def _measure_maps(
    model: PseudoHealthyModel,
    choice: Choice,
    people: list[Subject],
    sequence: Sequence,
    count: int,
) -> dict[str, Tensor]:
    """What healthy people score at each place, by `healthy_key`, in half precision."""
    cells: dict[Sign, list[FloatArray]] = {sign: [] for sign in SIGNS}
    for scan, rebuilt in _rebuild_drawn(model, choice, people, sequence, count, 0):
        for sign in SIGNS:
            every = AnomalyConfig(polarity=sign, score="residual", erosion_mm=0.0)
            cells[sign].append(pool_cells(score_scan(scan, rebuilt, every), scan.brain_mask))
    return {
        healthy_key(sequence, sign): torch.from_numpy(measure_healthy_residual(own)).half()
        for sign, own in cells.items()
    }


def _expected(maps: Mapping[str, Tensor], sequence: Sequence) -> FloatArray:
    """What healthy people score with the usual polarity, as the card's reader will have it."""
    measured = {name: healthy.float().numpy() for name, healthy in maps.items()}
    return healthy_residual_of(measured, sequence, AUTO_POLARITY[sequence])


def _found_ml(anomaly_map: FloatArray, threshold: float) -> float:
    """ML of the mask that `detect` makes of a map of the working grid."""
    volume = Volume(anomaly_map, TEMPLATE_AFFINE)
    brain = volume.with_data(anomaly_map > 0)
    mask = threshold_map(volume, brain, threshold, AnomalyConfig.min_lesion_mm3)
    return float(mask.data.sum()) * VOXEL_ML


def _line(sequence: Sequence, threshold: float, healthy_volume: HealthyVolume) -> str:
    """Say what was chosen, and what healthy brains show with it."""
    line = f"{sequence}: threshold {threshold}"
    if false_ml := healthy_volume.at(threshold):
        line += f", {false_ml.half:.2f} mL in half of healthy brains, {false_ml.most:.2f} in 95 %"
    return line


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
