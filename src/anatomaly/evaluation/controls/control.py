"""One healthy control: its map, and what is found in it, all of it wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from anatomaly.anomaly.score import found_ml
from anatomaly.config import MOST_HEALTHY_ML, USUAL_HEALTHY_ML
from anatomaly.detection import Detection
from anatomaly.healthy_volume import THRESHOLDS
from anatomaly.method import Method
from anatomaly.thresholds import lowest_passing
from anatomaly.types import MrSequence
from anatomaly.volume import Volume

LEAST_SCORE = 0.004
"""Lower scores are not kept: no threshold and no growth comes near them."""


@dataclass(frozen=True)
class SparseMap:
    """An anomaly map of which only scores above `LEAST_SCORE` inside the brain are kept.

    Attributes:
        grid: an empty volume's shape.
        affine: (4, 4), voxel to mm.
        where: flat indices of the voxels kept.
        score: their scores.
    """

    grid: tuple[int, ...]
    affine: NDArray[np.float64]
    where: NDArray[np.int64]
    score: NDArray[np.float32]

    @classmethod
    def of(cls, anomaly_map: Volume, brain_mask: Volume) -> SparseMap:
        """Keep what matters of a map (I, J, K) in [0, 1], inside the brain."""
        inside = (anomaly_map.data > LEAST_SCORE) & (brain_mask.data > 0)
        where = np.flatnonzero(inside)
        score = anomaly_map.data.ravel()[where].astype(np.float32)
        return cls(anomaly_map.shape, anomaly_map.affine, where, score)

    def dense(self) -> Volume:
        """Return the map, 0 where nothing was kept."""
        data = np.zeros(self.grid, np.float32)
        data.flat[self.where] = self.score
        return Volume(data, self.affine)


@dataclass(frozen=True)
class Control:
    """What one healthy person tells of a threshold.

    Attributes:
        name: of the scan.
        sequence: of the scan.
        anomaly_map: on the scan's grid.
        method: that made it.
        at_half: lowest threshold that leaves `USUAL_HEALTHY_ML` or less.
        at_most: lowest that leaves `MOST_HEALTHY_ML` or less.
        curve: mL found at each of `healthy_volume.THRESHOLDS`.
        warnings: of the preparation.
    """

    name: str
    sequence: MrSequence
    anomaly_map: SparseMap
    method: Method
    at_half: float
    at_most: float
    curve: tuple[float, ...]
    warnings: tuple[str, ...] = ()

    def found_ml(self, threshold: float) -> float:
        """Return the mL of the mask that `detect` makes at a threshold."""
        return found_ml(self.anomaly_map.dense(), self.method, threshold)


def measure_control(name: str, detection: Detection, method: Method) -> Control:
    """Measure one control.

    Args:
        name: of the scan.
        detection: of `Detector.detect`.
        method: that made it.
    """
    sparse = SparseMap.of(detection.anomaly_map, detection.brain_mask)
    volume_at = partial(found_ml, sparse.dense(), method)
    return Control(
        name=name,
        sequence=detection.sequence,
        anomaly_map=sparse,
        method=method,
        at_half=lowest_threshold(volume_at, USUAL_HEALTHY_ML),
        at_most=lowest_threshold(volume_at, MOST_HEALTHY_ML),
        curve=tuple(round(volume_at(threshold), 3) for threshold in THRESHOLDS),
        warnings=detection.warnings,
    )


def lowest_threshold(volume_at: Callable[[float], float], budget_ml: float) -> float:
    """Return the lowest threshold at which a volume that falls with it is within a budget.

    >>> round(lowest_threshold(lambda threshold: 4 * (1 - threshold), 1.0), 3)
    0.75
    """
    return lowest_passing(lambda threshold: volume_at(threshold) <= budget_ml)
