"""Scans without a lesion: all that is found there is wrong, so its volume and number count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from anatomaly.errors import ConfigError, EvaluationError
from anatomaly.evaluation.scored_voxels import check_masks, mask_above
from anatomaly.types import BoolArray, FloatArray


class FalsePositives(NamedTuple):
    """What was found in one healthy scan; lower is better.

    Attributes:
        volume_ml: of all found voxels.
        pieces: connected components (26 neighbours).
        largest_ml: volume of the largest of them, 0 where there is none.
        brain_share: found share of the brain, in [0, 1].
    """

    volume_ml: float
    pieces: int
    largest_ml: float
    brain_share: float


class HealthySummary(NamedTuple):
    """False positives over healthy scans; lower is better.

    Attributes:
        scans: how many.
        median_ml: false positives of the scan in the middle.
        high_ml: 95th percentile (linear between scans).
        median_pieces: components of the scan in the middle.
        clean_share: share of scans in which nothing was found.
    """

    scans: int
    median_ml: float
    high_ml: float
    median_pieces: float
    clean_share: float


def false_positives(
    found: BoolArray, brain_mask: BoolArray, voxel_volume_mm3: float
) -> FalsePositives:
    """Measure what was found in a healthy scan, inside the brain.

    Args:
        found: (I, J, K) bool, what passed the threshold (small components dropped or not).
        brain_mask: (I, J, K) bool.
        voxel_volume_mm3: volume of a voxel.

    Raises:
        GeometryError: shapes differ.
        EvaluationError: a mask is not bool, or there is no brain.
        ConfigError: the volume of a voxel is not above 0.

    >>> found = np.array([[[True, True, False, True]]])
    >>> false_positives(found, np.ones((1, 1, 4), dtype=bool), 500.0)
    FalsePositives(volume_ml=1.5, pieces=2, largest_ml=1.0, brain_share=0.75)
    """
    check_masks(found, brain_mask)
    if not 0 < voxel_volume_mm3 < math.inf:
        raise ConfigError(f"voxel_volume_mm3 must be above 0, got {voxel_volume_mm3}")
    if not brain_mask.any():
        raise EvaluationError("the brain mask is empty; a scan without a brain is not healthy")
    inside = found & brain_mask
    labels, pieces = ndimage.label(inside, structure=np.ones((3,) * found.ndim))
    voxels = np.bincount(labels[inside], minlength=pieces + 1)[1:]
    ml = voxel_volume_mm3 / 1000
    return FalsePositives(
        volume_ml=float(voxels.sum()) * ml,
        pieces=int(pieces),
        largest_ml=float(voxels.max(initial=0)) * ml,
        brain_share=float(voxels.sum() / np.count_nonzero(brain_mask)),
    )


def false_positives_at(
    score: FloatArray, brain_mask: BoolArray, voxel_volume_mm3: float, threshold: float
) -> FalsePositives:
    """Measure what lies above a threshold in a healthy scan; what equals it is not found.

    Args:
        score: (I, J, K), higher is more abnormal; finite inside the brain.
        brain_mask: (I, J, K) bool.
        voxel_volume_mm3: volume of a voxel.
        threshold: in the unit of the score.

    Raises:
        GeometryError: shapes differ.
        EvaluationError: the mask is not bool or empty, or a score in the brain is not finite.
    """
    return false_positives(mask_above(score, brain_mask, threshold), brain_mask, voxel_volume_mm3)


def summarise_healthy(scans: Sequence[FalsePositives]) -> HealthySummary:
    """Median and 95th percentile over healthy scans.

    Raises:
        EvaluationError: there is no scan.

    >>> clean, other = FalsePositives(0.0, 0, 0.0, 0.0), FalsePositives(2.0, 4, 1.0, 0.1)
    >>> summarise_healthy([clean, other])
    HealthySummary(scans=2, median_ml=1.0, high_ml=1.9, median_pieces=2.0, clean_share=0.5)
    """
    if not scans:
        raise EvaluationError("there is no healthy scan to summarise")
    volumes = [scan.volume_ml for scan in scans]
    return HealthySummary(
        scans=len(scans),
        median_ml=float(np.median(volumes)),
        high_ml=float(np.quantile(volumes, 0.95)),
        median_pieces=float(np.median([scan.pieces for scan in scans])),
        clean_share=float(np.mean([scan.pieces == 0 for scan in scans])),
    )
