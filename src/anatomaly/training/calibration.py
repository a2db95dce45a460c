"""`anatomaly train calibrate`: what healthy people score, and thresholds that keep them quiet.

Healthy scans of every sequence are drawn from healthy people, half of them from people that
training never saw. A patient is never used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from anatomaly.anomaly.healthy_residual import cells_of, measure_healthy_residual
from anatomaly.anomaly.hybrid_score import AUTO_POLARITY
from anatomaly.config import AnomalyConfig
from anatomaly.errors import TrainingError
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.model.unet import lay_channels_last
from anatomaly.training.cohort import Subject, load_cohort
from anatomaly.training.validation import (
    ValidationScan,
    draw_validation,
    healthy_threshold,
    rebuild_scan,
    score_scan,
)
from anatomaly.types import SEQUENCES, FloatArray, Sequence
from anatomaly.weights import (
    CARD_FILE,
    HEALTHY_FILE,
    SIGNS,
    Sign,
    WeightsCard,
    find_weights,
    healthy_key,
    load_weights,
)

CALIBRATION_SEED = 980_001
VOXEL_ML = 0.001


@dataclass(frozen=True)
class CalibrationConfig:
    """What `train calibrate` is told.

    Attributes:
        weights: folder, whose card is updated; its route, reuse and score are calibrated.
        people: cached healthy people for the maps (`prepare_scans`, `prepare_label_maps`).
        controls: others, for the thresholds.
        people_count: scans a sequence drawn from people.
        controls_count: scans a sequence drawn from controls.
        device: torch device.
    """

    weights: Path
    people: tuple[Path, ...]
    controls: Path
    people_count: int = 16
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
    folder = find_weights(str(config.weights))
    state, card = load_weights(str(folder))
    model = PseudoHealthyModel()
    model.load_state_dict(state)
    lay_channels_last(model)
    model.eval().to(config.device)
    people = [subject for cache in config.people for subject in load_cohort(cache)]
    controls = load_cohort(config.controls)
    if not people or not controls:
        raise TrainingError(f"no prepared people in {config.people} or {config.controls}")
    maps, thresholds = dict[str, Tensor](), dict[str, float]()
    for sequence in SEQUENCES:
        cells: dict[Sign, list[FloatArray]] = {sign: [] for sign in SIGNS}
        for scan, phi in _rebuilt(model, card, people, sequence, config.people_count, 0):
            for sign in SIGNS:
                every = AnomalyConfig(polarity=sign, score="residual", erosion_mm=0.0)
                cells[sign].append(cells_of(score_scan(scan, phi, every), scan.brain_mask))
        for sign in SIGNS:
            healthy = torch.from_numpy(measure_healthy_residual(cells[sign])).half()
            maps[healthy_key(sequence, sign)] = healthy
        polarity = AUTO_POLARITY[sequence]
        kept = [maps[healthy_key(sequence, s)].float() for s in SIGNS if polarity in (s, "both")]
        expected = torch.stack(kept).sum(0).numpy()
        found = _rebuilt(model, card, controls, sequence, config.controls_count, 500)
        scored = [
            score_scan(scan, phi, AnomalyConfig(score=card.score), expected) for scan, phi in found
        ]
        thresholds[sequence] = round(healthy_threshold(scored, VOXEL_ML), 4)
        say(f"{sequence}: threshold {thresholds[sequence]}")
    _write(folder, maps, replace(card, thresholds=thresholds))


def _rebuilt(
    model: PseudoHealthyModel,
    card: WeightsCard,
    people: list[Subject],
    sequence: Sequence,
    count: int,
    seed: int,
) -> Iterator[tuple[ValidationScan, Tensor]]:
    """Healthy scans and their pseudo-healthy images."""
    scans = draw_validation(people, [], sequence, count, healthy=True, seed=CALIBRATION_SEED + seed)
    for scan in scans:
        yield scan, rebuild_scan(model, scan, card.route, [card.reuse])[0]


def _write(folder: Path, maps: dict[str, Tensor], card: WeightsCard) -> None:
    """Both files whole, the card last."""
    temporary = folder / f".{HEALTHY_FILE}.part"
    save_file(maps, temporary)
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    temporary.replace(folder / HEALTHY_FILE)
    text = json.dumps(asdict(replace(card, healthy_sha256=digest)), indent=2) + "\n"
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
