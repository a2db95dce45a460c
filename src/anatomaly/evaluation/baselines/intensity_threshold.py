"""Baseline number one: the histogram-equalised intensity itself is the score.

Source: Meissen et al. 2021, arXiv:2109.06023, for FLAIR. What differs: T1w is inverted, the
score goes through a median filter, and a rim is dropped, as for the other baselines.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata

from anatomaly.anomaly.postprocess import drop_rim
from anatomaly.evaluation.benchmark.method import MethodCard, Trainer
from anatomaly.types import BoolArray, FloatArray, MrSequence
from anatomaly.volume import PreparedImage


def intensity_score(
    image: FloatArray,
    brain_mask: BoolArray,
    sequence: MrSequence,
    *,
    median_voxels: int = 5,
    erosion_voxels: float = 3.0,
) -> NDArray[np.float32]:
    """Score by rank of intensity inside the brain: brightest is 1, for T1w darkest is 1.

    Args:
        image: (I, J, K), any unit.
        brain_mask: (I, J, K) bool.
        sequence: decides the direction.
        median_voxels: side of the median filter.
        erosion_voxels: rim of the brain that is not scored.

    Returns:
        (I, J, K) float32 in [0, 1], 0 outside the eroded mask.
    """
    score = np.zeros(image.shape, dtype=np.float32)
    values = image[brain_mask]
    if values.size:
        rank = rankdata(-values if sequence == "T1w" else values) / values.size
        score[brain_mask] = rank
        box = ndimage.find_objects(brain_mask.astype(np.uint8))[0]
        score[box] = ndimage.median_filter(score[box], size=median_voxels)
    return drop_rim(score, brain_mask, erosion_voxels)


class IntensityThreshold:
    """The score above as a method; it learns nothing."""

    parameters_count = 0

    def fit(self, healthy: Sequence[PreparedImage], trainer: Trainer) -> None:
        """Learn nothing."""

    def score(self, prepared: PreparedImage) -> FloatArray:
        """Return the score map, (I, J, K) float32 in [0, 1]."""
        return intensity_score(prepared.image, prepared.brain_mask, prepared.sequence)


METHOD = MethodCard(
    title="intensity threshold",
    source="Meissen et al. 2021, arXiv:2109.06023",
    differs="T1w inverted; median filter of 5 voxels; rim of 3 mm not scored",
    build=lambda sequence, seed: IntensityThreshold(),
    trained=False,
)
