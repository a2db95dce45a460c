"""`anatomaly train calibrate`: what healthy people score, and thresholds that keep them quiet.

Healthy scans of every sequence are drawn: for the maps from people of the training, for the
thresholds, and what is still found at each of them, from people that it never saw. A patient is
never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from anatomaly.anomaly.healthy_residual import measure_healthy_residual, pool_cells
from anatomaly.anomaly.score import found_ml as mask_ml
from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.healthy_volume import HealthyVolume, measure_healthy_volume
from anatomaly.method import Method
from anatomaly.networks import Networks, load_networks
from anatomaly.score import prepared_logit, score_methods, score_prepared
from anatomaly.thresholds import choose_threshold
from anatomaly.training.cohort import Subject, check_held_out, load_cohort
from anatomaly.training.probability import fit_probability, join_samples, sample_voxels
from anatomaly.training.synthesis.lesion_shapes import load_shapes
from anatomaly.training.validation import HEALTHY, ValidationScan, draw_validation
from anatomaly.types import SEQUENCES, FloatArray, MrSequence, Sign
from anatomaly.volume import Volume
from anatomaly.weights import HEALTHY_FILE, SIGNS, healthy_key, write_tensors
from anatomaly.weights_card import read_card, update_card

CALIBRATION_SEED = 980_001


@dataclass(frozen=True)
class CalibrationConfig:
    """What `train calibrate` is told.

    Attributes:
        weights: folder, whose card is updated; its methods are calibrated.
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
    methods = [read_card(folder).method_for(sequence) for sequence in SEQUENCES]
    loadable = [method for method in methods if method.score != "normalised"]
    networks = load_networks(str(folder), loadable, device=config.device)
    people, controls = _load_people(config)
    maps, thresholds = dict[str, Tensor](), dict[str, float]()
    healthy_ml = dict[str, dict[str, list[float]]]()
    for sequence, method in zip(SEQUENCES, methods, strict=True):
        maps |= _measure_maps(networks, method, people, sequence, config.count)
        networks = replace(networks, healthy_residual=_as_loaded(maps))
        if method.score == "refined":
            networks = _fit_probability(config, networks, method, controls, sequence)
        drawn = _draw_healthy(controls, sequence, config.controls_count, 500)
        scored = [score_prepared(networks, s.prepared, method).anomaly_map for s in drawn]
        volume_at = partial(found_ml, method=method)
        thresholds[sequence] = choose_threshold(scored, volume_at)
        healthy_volume = measure_healthy_volume(scored, volume_at)
        healthy_ml[sequence] = healthy_volume.to_json()
        say(_line(sequence, thresholds[sequence], healthy_volume))
    digest = write_tensors(folder / HEALTHY_FILE, maps)
    entries = {"thresholds": thresholds, "healthy_ml": healthy_ml, "healthy_sha256": digest}
    update_card(folder, entries | {"probability": networks.card.probability, "controls": {}})


def _fit_probability(
    config: CalibrationConfig,
    networks: Networks,
    method: Method,
    controls: list[Subject],
    sequence: MrSequence,
) -> Networks:
    """Return the networks with the probability of a sequence fitted anew, if there are lesions."""
    if config.lesions is None:
        return networks
    shapes = load_shapes(config.lesions, config.controls.parent, held_out=True)
    count, seed = config.controls_count, CALIBRATION_SEED + 700
    samples = []
    for scan in draw_validation(controls, shapes, sequence, count, seed=seed):
        logit = prepared_logit(networks, scan.prepared).total(method.gap_weight)
        brain = scan.prepared.brain_mask
        samples.append(sample_voxels(logit[0, 0].cpu().numpy(), scan.lesion, brain))
    probability = {sequence: list(fit_probability(join_samples(samples)))}
    card = replace(networks.card, probability=networks.card.probability | probability)
    return replace(networks, card=card)


def _load_people(config: CalibrationConfig) -> tuple[list[Subject], list[Subject]]:
    """Return who is measured for the maps, and the controls, whom training never saw."""
    people = [subject for cache in config.people for subject in load_cohort(cache)]
    if not people:
        raise TrainingError("no prepared people to measure; --run names the folder of a training")
    controls = load_cohort(config.controls)
    check_held_out(controls, people)
    return people, controls


def _measure_maps(
    networks: Networks, method: Method, people: list[Subject], sequence: MrSequence, count: int
) -> dict[str, Tensor]:
    """Measure what healthy people score at each place, by `healthy_key`, in half precision."""
    ways = [
        replace(method, score="residual", polarity=s, rim_mm=0.0, smoothing_mm=1.0) for s in SIGNS
    ]
    cells: dict[Sign, list[FloatArray]] = {sign: [] for sign in SIGNS}
    for scan in _draw_healthy(people, sequence, count, 0):
        scored = score_methods(networks, scan.prepared, ways)
        for sign, one in zip(SIGNS, scored, strict=True):
            cells[sign].append(pool_cells(one.anomaly_map, scan.prepared.brain_mask))
    return {
        healthy_key(sequence, sign): torch.from_numpy(measure_healthy_residual(own)).half()
        for sign, own in cells.items()
    }


def _as_loaded(maps: Mapping[str, Tensor]) -> dict[str, FloatArray]:
    """Return the maps as `load_healthy_residual` will read them."""
    return {name: healthy.float().numpy() for name, healthy in maps.items()}


def _draw_healthy(
    people: list[Subject], sequence: MrSequence, count: int, seed: int
) -> Iterator[ValidationScan]:
    """Draw healthy scans."""
    seed += CALIBRATION_SEED
    return draw_validation(people, [], sequence, count, kinds=HEALTHY, seed=seed)


def found_ml(anomaly_map: FloatArray, threshold: float, method: Method) -> float:
    """ML of the mask that `detect` makes of a map (I, J, K) of the working grid."""
    return mask_ml(Volume(anomaly_map, TEMPLATE_AFFINE), method, threshold)


def _line(sequence: MrSequence, threshold: float, healthy_volume: HealthyVolume) -> str:
    """Say what was chosen, and what healthy brains show with it."""
    line = f"{sequence}: threshold {threshold}"
    if false_ml := healthy_volume.at(threshold):
        line += f", {false_ml.half:.2f} mL in half of healthy brains, {false_ml.most:.2f} in 95 %"
    return line
