"""`anatomaly train calibrate`: what healthy people score, and thresholds that keep them quiet.

Healthy scans of every sequence are drawn: for the maps from people of the training, for the
thresholds, and what is still found at each of them, from people that it never saw. A patient is
never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from anatomaly.anomaly.healthy_residual import measure_healthy_residual, pool_cells
from anatomaly.anomaly.hybrid_score import AUTO_POLARITY
from anatomaly.anomaly.score import anomaly_mask
from anatomaly.config import MOST_HEALTHY_ML, USUAL_HEALTHY_ML, AnomalyConfig
from anatomaly.engine import REFINED, RebuiltScan
from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.healthy_volume import HALF, MOST, HealthyVolume, measure_healthy_volume
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.cohort import Subject, load_cohort
from anatomaly.training.probability import fit_probability, join_samples, sample_voxels
from anatomaly.training.synthesis.lesion_shapes import load_shapes
from anatomaly.training.validation import (
    HEALTHY,
    ValidationScan,
    draw_validation,
    load_refine,
    rebuild_scan,
    score_scan,
)
from anatomaly.types import SEQUENCES, FloatArray, ScoreName, Sequence, Sign
from anatomaly.volume import Volume
from anatomaly.weights import (
    HEALTHY_FILE,
    SIGNS,
    Choice,
    WeightsCard,
    choice_for,
    healthy_key,
    healthy_residual_of,
    load_model,
    update_card,
    write_tensors,
)

CALIBRATION_SEED = 980_001
VOXEL_ML = 0.001


@dataclass(frozen=True)
class CalibrationConfig:
    """What `train calibrate` is told.

    Attributes:
        weights: folder, whose card is updated; its choices are calibrated.
        people: cached healthy people for the maps (`prepare_scans`, `prepare_label_maps`).
        controls: cache of others, for the thresholds.
        count: scans a sequence drawn from people.
        controls_count: scans a sequence drawn from controls.
        lesions: folder with lesion shapes; the refined score is made a probability on controls
            with lesions drawn from those that training never saw. None leaves it as it is.
        device: torch device.
    """

    weights: Path
    people: tuple[Path, ...]
    controls: Path
    count: int = 16
    controls_count: int = 8
    lesions: Path | None = None
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
        refine = None
        if choice.score == "refined":
            card = _fit_probability(config, model, card, controls, sequence)
            refine = load_refine(model, card, str(folder))
        score = partial(
            score_scan,
            config=AnomalyConfig(score=choice.score),
            healthy=_expected(maps, sequence),
            refine=refine,
        )
        found = _rebuild_drawn(model, choice, controls, sequence, config.controls_count, 500)
        scored = [score(scan, rebuilt) for scan, rebuilt in found]
        volume_at = partial(found_ml, score=choice.score)
        thresholds[sequence] = choose_threshold(scored, volume_at)
        healthy_volume = measure_healthy_volume(scored, volume_at)
        healthy_ml[sequence] = healthy_volume.to_json()
        say(_line(sequence, thresholds[sequence], healthy_volume))
    digest = write_tensors(folder / HEALTHY_FILE, maps)
    entries = {"thresholds": thresholds, "healthy_ml": healthy_ml, "healthy_sha256": digest}
    update_card(folder, entries | {"probability": card.probability})


def choose_threshold(
    anomaly_maps: Several[FloatArray], volume_at: Callable[[FloatArray, float], float]
) -> float:
    """Return the lowest threshold that keeps healthy brains within the budget, to .0005.

    Args:
        anomaly_maps: of healthy brains, in [0, 1].
        volume_at: mL of the mask that a map has at a threshold; falls with it.
    """
    low, high = 0.0, 1.0
    while high - low > 5e-4:
        middle = (low + high) / 2
        volumes = [volume_at(anomaly_map, middle) for anomaly_map in anomaly_maps]
        half, most = np.quantile(volumes, (HALF, MOST))
        if half <= USUAL_HEALTHY_ML and most <= MOST_HEALTHY_ML:
            high = middle
        else:
            low = middle
    return round(high, 4)


def _fit_probability(
    config: CalibrationConfig,
    model: PseudoHealthyModel,
    card: WeightsCard,
    controls: list[Subject],
    sequence: Sequence,
) -> WeightsCard:
    """Return the card with the probability of a sequence fitted anew, if there are lesions."""
    if config.lesions is None:
        return card
    folder = str(config.weights.resolve())
    refine = load_refine(model, card, folder)
    shapes = load_shapes(config.lesions, config.controls.parent, held_out=True)
    count, seed = config.controls_count, CALIBRATION_SEED + 700
    samples = []
    for scan in draw_validation(controls, shapes, sequence, count, seed=seed):
        total = refine(rebuild_scan(model, scan, [REFINED])[0], sequence).total()
        samples.append(sample_voxels(total[0, 0].cpu().numpy(), scan.lesion, scan.brain_mask))
    found = list(fit_probability(join_samples(samples)))
    return replace(card, probability=card.probability | {sequence: found})


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


def found_ml(anomaly_map: FloatArray, threshold: float, score: ScoreName = "refined") -> float:
    """ML of the mask that `detect` makes of a map (I, J, K) of the working grid."""
    volume = Volume(anomaly_map, TEMPLATE_AFFINE)
    brain = volume.with_data(anomaly_map > 0)
    mask = anomaly_mask(volume, brain, threshold, AnomalyConfig(score=score))
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
