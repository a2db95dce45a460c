"""How good one score map is: pure functions over voxels inside the brain; higher is better.

Lesion by lesion: `metrics_lesionwise`. Over many scans: `metrics_pooled` (one curve over all
voxels), `comparison` (means, intervals, differences). Scans without a lesion: `healthy`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score

from anatomaly.evaluation.scored_voxels import check_masks, mask_above, scored_voxels
from anatomaly.types import BoolArray, FloatArray


def average_precision(score: FloatArray, lesion: BoolArray, brain_mask: BoolArray) -> float:
    """Area under the precision-recall curve over the voxels of the brain: Σ (R_n − R_n−1) P_n.

    Args:
        score: (I, J, K), higher is more abnormal; any finite range.
        lesion: (I, J, K) bool.
        brain_mask: (I, J, K) bool; lesion voxels outside it are not counted.

    Returns:
        In [0, 1]; nan for a scan without a lesion, which has no such figure.

    Raises:
        GeometryError: shapes differ.
        EvaluationError: a mask is not bool, or a score inside the brain is not finite.

    >>> brain = np.ones((2, 2, 1), dtype=bool)
    >>> lesion = np.array([[[True], [False]], [[False], [True]]])
    >>> average_precision(np.array([[[0.9], [0.8]], [[0.1], [0.7]]]), lesion, brain)
    0.8333333333333333
    """
    values, truth = scored_voxels(score, lesion, brain_mask)
    if not truth.any():
        return float("nan")
    return float(average_precision_score(truth, values))


def dice(found: BoolArray, truth: BoolArray) -> float:
    """Overlap 2 |A ∩ B| / (|A| + |B|) of two masks; nan where both are empty.

    Symmetric, so 0 where one of them is empty: for a scan that has no lesion, which has no Dice,
    take `dice_at_threshold`.

    Args:
        found: bool, any shape.
        truth: bool, the same shape.

    Returns:
        In [0, 1].

    Raises:
        GeometryError: shapes differ.
        EvaluationError: a mask is not bool.

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    check_masks(found, truth)
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else float("nan")


def dice_at_threshold(
    score: FloatArray, lesion: BoolArray, brain_mask: BoolArray, threshold: float
) -> float:
    """Dice of the voxels above a threshold that was fixed before the label was opened.

    Args:
        score: (I, J, K), higher is more abnormal; any finite range.
        lesion: (I, J, K) bool; voxels outside the brain count as missed.
        brain_mask: (I, J, K) bool; only inside can something be found.
        threshold: in the unit of the score; what equals it is not found.

    Returns:
        In [0, 1]; 0 where nothing is found; nan for a scan without a lesion.

    Raises:
        GeometryError: shapes differ.
        EvaluationError: a mask is not bool, or a score inside the brain is not finite.

    >>> score = np.array([[[0.9, 0.8, 0.1]]])
    >>> brain = np.ones(score.shape, dtype=bool)
    >>> dice_at_threshold(score, np.array([[[True, False, True]]]), brain, 0.8)
    0.6666666666666666
    """
    overlap = dice(mask_above(score, brain_mask, threshold), lesion)
    return overlap if lesion.any() else float("nan")


def bootstrap_interval(
    values: Sequence[float], *, seed: int, draws: int = 5000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over subjects (Efron 1979).

    Args:
        values: one for each subject, finite.
        seed: of the draws.
        draws: resamples with replacement.
        level: share that lies inside.

    Returns:
        Lower and upper end; both are the value itself where there is one subject only.

    Raises:
        ValueError: there is no subject, or a value is not finite.

    >>> bootstrap_interval([0.5, 0.5, 0.5], seed=0)
    (0.5, 0.5)
    """
    subjects = np.asarray(values, dtype=np.float64)
    if not subjects.size or not np.isfinite(subjects).all():
        raise ValueError(f"need finite values of one subject or more, got {list(values)}")
    rng = np.random.default_rng(seed)
    picked = rng.integers(subjects.size, size=(draws, subjects.size))
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(subjects[picked].mean(axis=1), (tail, 100 - tail))
    return float(low), float(high)


def oracle_dice(score: FloatArray, lesion: BoolArray, brain_mask: BoolArray) -> float:
    """Best Dice over all thresholds, chosen on the label itself: an upper bound, never a result.

    Args:
        score: (I, J, K), higher is more abnormal.
        lesion: (I, J, K) bool; voxels outside the brain count as missed.
        brain_mask: (I, J, K) bool.

    Returns:
        In [0, 1]; nan for a scan without a lesion.

    Raises:
        GeometryError: shapes differ.
        EvaluationError: a mask is not bool, or a score inside the brain is not finite.

    >>> score = np.array([[[0.9, 0.8, 0.1]]])
    >>> brain = np.ones(score.shape, dtype=bool)
    >>> oracle_dice(score, np.array([[[True, False, True]]]), brain)
    0.8
    """
    values, truth = scored_voxels(score, lesion, brain_mask)
    total = int(lesion.sum())
    if not total:
        return float("nan")
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(truth[order])
    overlap = 2 * hits / (np.arange(1, len(hits) + 1) + total)
    last_of_ties = np.diff(values[order], append=np.nan) != 0
    return float(overlap[last_of_ties].max(initial=0.0))
