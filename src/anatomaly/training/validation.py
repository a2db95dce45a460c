"""Validation: whole brains of held-out people with held-out lesion shapes, drawn once per seed.

Every choice (score, filter, threshold, checkpoint) is made here, never on the test cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.training.cohort import Subject
from anatomaly.training.synthesis.contrast import CONTRASTS
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesions import LesionShape
from anatomaly.types import BoolArray, FloatArray
from anatomaly.types import Sequence as SequenceName

VALIDATION_SEED = 990_001
LESION_SHARE = 0.3
"""Voxels with at least this share of lesion count as lesion."""


@dataclass(frozen=True)
class ValidationScan:
    """One prepared image with its truth.

    Attributes:
        sequence: T1w, T2w or FLAIR.
        image: (160, 192, 160) float32 in [0, 1], 0 outside the brain.
        brain_mask: bool, same grid.
        lesion: bool, same grid; empty for a healthy scan.
    """

    sequence: SequenceName
    image: FloatArray
    brain_mask: BoolArray
    lesion: BoolArray


def draw_validation(
    subjects: list[Subject],
    shapes: list[LesionShape],
    sequence: SequenceName,
    count: int,
    *,
    healthy: bool = False,
) -> Iterator[ValidationScan]:
    """Draw whole brains, one after the other, each from the next person.

    Args:
        subjects: held out from training.
        shapes: held out from training.
        sequence: of all scans.
        count: how many.
        healthy: without lesions.
    """
    shares = tuple(float(name == sequence) for name in CONTRASTS)
    config = GeneratorConfig(
        patch=TEMPLATE_SHAPE,
        seed=VALIDATION_SEED + CONTRASTS.index(sequence),
        sequence_shares=(shares[0], shares[1], shares[2], shares[3]),
        lesions=not healthy,
    )
    drawn = index = 0
    while drawn < count:
        pair = PairGenerator(subjects, shapes, config)[index]
        index += 1
        lesion = pair["lesion"][0].numpy() >= LESION_SHARE
        if not healthy and lesion.sum() < 50:  # 0.05 mL: no lesion was drawn
            continue
        drawn += 1
        brain_mask = pair["brain"][0].numpy() > 0
        yield ValidationScan(sequence, pair["image"][0, 0].numpy(), brain_mask, lesion)


def healthy_threshold(
    anomaly_maps: Sequence[FloatArray],
    voxel_ml: float,
    *,
    half_ml: float = 1.0,
    most_ml: float = 5.0,
) -> float:
    """Return the lowest threshold that keeps false positives in healthy brains within a budget.

    Args:
        anomaly_maps: one map (any shape) for each healthy brain, 0 outside the scored brain.
        voxel_ml: volume of a voxel.
        half_ml: false positives allowed in half of the brains, mL.
        most_ml: false positives allowed in 95 % of them.
    """
    at_half = [_value_at_volume(m, half_ml / voxel_ml) for m in anomaly_maps]
    at_most = [_value_at_volume(m, most_ml / voxel_ml) for m in anomaly_maps]
    return float(max(np.quantile(at_half, 0.5), np.quantile(at_most, 0.95)))


def _value_at_volume(anomaly_map: FloatArray, voxels: float) -> float:
    """Score that this many voxels exceed."""
    values = np.sort(anomaly_map[anomaly_map > 0].ravel())
    position = len(values) - 1 - int(voxels)
    return float(values[position]) if position >= 0 else 0.0
