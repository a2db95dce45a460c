"""How good a score map is: pure functions over voxels inside the brain mask; higher is better."""

from __future__ import annotations

from sklearn.metrics import average_precision_score

from anatomaly.errors import GeometryError
from anatomaly.types import BoolArray, FloatArray


def average_precision(score: FloatArray, lesion: BoolArray, brain_mask: BoolArray) -> float:
    """Area under the precision-recall curve over the voxels of the brain: Σ (R_n − R_n−1) P_n.

    Args:
        score: (I, J, K), higher is more abnormal.
        lesion: (I, J, K) bool.
        brain_mask: (I, J, K) bool; lesion voxels outside it are not counted.

    Returns:
        In [0, 1]; nan for a scan without a lesion, which has no such figure.

    Raises:
        GeometryError: shapes differ.

    >>> import numpy as np
    >>> brain = np.ones((2, 2, 1), dtype=bool)
    >>> lesion = np.array([[[True], [False]], [[False], [True]]])
    >>> average_precision(np.array([[[0.9], [0.8]], [[0.1], [0.7]]]), lesion, brain)
    0.8333333333333333
    """
    if not score.shape == lesion.shape == brain_mask.shape:
        raise GeometryError(f"shapes differ: {score.shape}, {lesion.shape}, {brain_mask.shape}")
    truth = lesion[brain_mask]
    if not truth.any():
        return float("nan")
    return float(average_precision_score(truth, score[brain_mask]))


def dice(found: BoolArray, truth: BoolArray) -> float:
    """Overlap 2 |A ∩ B| / (|A| + |B|) of two masks; nan where both are empty.

    >>> import numpy as np
    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else float("nan")
