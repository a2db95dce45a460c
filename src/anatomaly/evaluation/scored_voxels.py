"""The voxels that a figure is made of: scores inside the brain, each with its truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anatomaly.errors import EvaluationError, GeometryError
from anatomaly.types import BoolArray, FloatArray


def scored_voxels(
    score: FloatArray, lesion: BoolArray, brain_mask: BoolArray
) -> tuple[FloatArray, BoolArray]:
    """Return score and truth of the voxels inside the brain, or refuse the arrays.

    What a label leaves open (label 2 of WMH 2017) is taken out of `brain_mask` by the caller.

    Args:
        score: (I, J, K), higher is more abnormal; outside the brain it may be anything.
        lesion: (I, J, K) bool.
        brain_mask: (I, J, K) bool.

    Returns:
        Score and truth, both of shape (voxels of the brain,).

    Raises:
        GeometryError: shapes differ.
        EvaluationError: a mask is not bool, or a score inside the brain is not finite.

    >>> brain = np.array([True, True, False])
    >>> scored_voxels(np.array([0.5, 0.1, np.nan]), np.array([True, False, True]), brain)
    (array([0.5, 0.1]), array([ True, False]))
    """
    check_masks(lesion, brain_mask)
    if score.shape != lesion.shape:
        raise GeometryError(
            f"shapes differ: score {score.shape}, masks {lesion.shape}; bring the score map back "
            "to the grid of the label first"
        )
    values = score[brain_mask]
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise EvaluationError(
            f"scores inside the brain must be finite, {bad} of {values.size} are NaN or infinite"
        )
    return values, lesion[brain_mask]


def mask_above(score: FloatArray, brain_mask: BoolArray, threshold: float) -> BoolArray:
    """Return where a score lies above a threshold inside the brain; what equals it does not.

    Args:
        score: (I, J, K), finite inside the brain.
        brain_mask: (I, J, K) bool.
        threshold: in the unit of the score.

    Raises:
        GeometryError: shapes differ.
        EvaluationError: the mask is not bool, or a score inside the brain is not finite.
    """
    values, _ = scored_voxels(score, brain_mask, brain_mask)
    mask = np.zeros(score.shape, dtype=np.bool_)
    mask[brain_mask] = values > threshold
    return mask


def check_masks(first: NDArray[Any], second: NDArray[Any]) -> None:
    """Refuse masks that are not bool (labels of 2 or 4 would count double) or differ in shape.

    Raises:
        GeometryError: shapes differ.
        EvaluationError: a mask is not bool.
    """
    for mask in (first, second):
        if mask.dtype != np.bool_:
            raise EvaluationError(f"masks must be bool, found {mask.dtype}: compare with 0")
    if first.shape != second.shape:
        raise GeometryError(f"shapes differ: {first.shape}, {second.shape}")
