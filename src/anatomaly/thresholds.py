"""The threshold that keeps what is found in healthy brains within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from anatomaly.config import MOST_HEALTHY_ML, USUAL_HEALTHY_ML
from anatomaly.healthy_volume import HALF, MOST
from anatomaly.types import FloatArray

STEP = 5e-4
"""How exactly a threshold is searched for."""


def healthy_threshold(
    anomaly_maps: Sequence[FloatArray],
    voxel_ml: float,
    *,
    half_ml: float = USUAL_HEALTHY_ML,
    most_ml: float = MOST_HEALTHY_ML,
) -> float:
    """Return the lowest threshold that keeps false positives in healthy brains within a budget.

    Args:
        anomaly_maps: one map (any shape) for each healthy brain, 0 outside the scored brain.
        voxel_ml: volume of a voxel.
        half_ml: false positives allowed in half of the brains, mL.
        most_ml: false positives allowed in 95 % of them.
    """
    return join_thresholds(
        [value_at_volume(m, half_ml / voxel_ml) for m in anomaly_maps],
        [value_at_volume(m, most_ml / voxel_ml) for m in anomaly_maps],
    )


def join_thresholds(
    at_half: Sequence[float], at_most: Sequence[float], *, strict: bool = False
) -> float:
    """Return the threshold of healthy brains from what each of them asks for.

    Args:
        at_half: of each brain, the score above which lies the volume allowed in half of them.
        at_most: the same for the volume allowed in 95 %.
        strict: keep so many of these very brains, not so many in between two of them.
    """
    how: Literal["inverted_cdf", "linear"] = "inverted_cdf" if strict else "linear"
    half, most = np.quantile(at_half, HALF, method=how), np.quantile(at_most, MOST, method=how)
    return float(max(half, most))


def value_at_volume(anomaly_map: FloatArray, voxels: float) -> float:
    """Return the score that this many voxels exceed, 0 where fewer are above 0."""
    values = np.sort(anomaly_map[anomaly_map > 0].ravel())
    position = len(values) - 1 - int(voxels)
    return float(values[position]) if position >= 0 else 0.0


def choose_threshold(
    anomaly_maps: Sequence[FloatArray], volume_at: Callable[[FloatArray, float], float]
) -> float:
    """Return the lowest threshold that keeps healthy brains within the budget, to .0005.

    Args:
        anomaly_maps: of healthy brains, in [0, 1].
        volume_at: mL of the mask that a map has at a threshold; falls with it.
    """

    def is_within(threshold: float) -> bool:
        volumes = [volume_at(anomaly_map, threshold) for anomaly_map in anomaly_maps]
        half, most = np.quantile(volumes, (HALF, MOST))
        return bool(half <= USUAL_HEALTHY_ML and most <= MOST_HEALTHY_ML)

    return round(lowest_passing(is_within), 4)


def lowest_passing(passes: Callable[[float], bool]) -> float:
    """Return the lowest threshold in [0, 1] that passes, to `STEP`; 1 where none does.

    Args:
        passes: of a threshold; where one passes, all higher ones do.
    """
    low, high = 0.0, 1.0
    while high - low > STEP:
        middle = (low + high) / 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high
