"""One precision-recall curve over the voxels of many scans, in memory that does not grow.

Scores are counted in bins of a float's leading bits (sign, exponent, first bits of the mantissa):
an order-preserving rounding that needs to know no range in advance. Every voxel stays in its bin,
so the figure is that of rounded scores, and the counts alone give bounds that the exact figure
cannot leave, whatever the order inside the bins. Scores of exactly 0 (half of a brain, often) have
a bin of their own and are one tie. Measured: docs/decisions/0010-measuring.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anatomaly.errors import ConfigError, EvaluationError
from anatomaly.evaluation.scored_voxels import check_masks, scored_voxels
from anatomaly.types import BoolArray, FloatArray

BITS = 22
"""Sign, 8 of exponent, 13 of mantissa: a bin is at most 1/8192 of its score wide; 64 MB."""


class Enclosed(NamedTuple):
    """A figure of rounded scores, and the ends between which the exact one lies."""

    value: float
    lower: float
    upper: float


class Overlap(NamedTuple):
    """Voxels found, voxels true, and voxels that are both."""

    found: int
    true: int
    both: int


class ScoreHistogram:
    """Counts of lesion and other voxels by score, over any number of scans.

    Args:
        bits: leading bits of the score that are kept, 10 to 28; memory is 2^bits · 16 bytes.

    Attributes:
        lesion: (2^bits,) lesion voxels inside the brain, lowest score first.
        other: (2^bits,) voxels of the brain that are none.
        missed: lesion voxels outside the brain, which no threshold finds.

    Raises:
        ConfigError: bits out of range.

    >>> histogram = ScoreHistogram()
    >>> brain = np.ones((2, 2, 1), dtype=bool)
    >>> lesion = np.array([[[True], [False]], [[False], [True]]])
    >>> histogram.add(np.array([[[0.9], [0.8]], [[0.1], [0.7]]]), lesion, brain)
    >>> round(pooled_average_precision(histogram).value, 4)
    0.8333
    """

    def __init__(self, bits: int = BITS) -> None:
        if not 10 <= bits <= 28:
            raise ConfigError(f"bits must lie in [10, 28], got {bits}")
        self._bits = bits
        self.lesion = np.zeros(1 << bits, dtype=np.int64)
        self.other = np.zeros(1 << bits, dtype=np.int64)
        self.missed = 0

    def add(self, score: FloatArray, lesion: BoolArray, brain_mask: BoolArray) -> None:
        """Count the voxels of one scan; scans without a lesion count too.

        Args:
            score: (I, J, K), higher is more abnormal; in the brain finite as float32.
            lesion: (I, J, K) bool.
            brain_mask: (I, J, K) bool.

        Raises:
            GeometryError: shapes differ.
            EvaluationError: a mask is not bool, or a score inside the brain is not finite.
        """
        values, truth = scored_voxels(score, lesion, brain_mask)
        bins = _bins_of(values, self._bits)
        self.lesion += np.bincount(bins[truth], minlength=self.lesion.size)
        self.other += np.bincount(bins[~truth], minlength=self.other.size)
        self.missed += int(lesion.sum()) - int(truth.sum())


def pooled_average_precision(histogram: ScoreHistogram) -> Enclosed:
    """Average precision over all voxels counted: Σ (R_n − R_n−1) P_n; higher is better.

    The value takes each bin as one tie. Of a bin with p lesion and n other voxels, with P and N
    at higher scores, the exact sum of precisions at its lesion voxels is at most
    p (P + p) / (P + p + N), where no other voxel of it comes first, and at least
    p − (N + n) ln(1 + p / (P + N + n)), where all others do.

    Returns:
        Value and bounds in [0, 1]; all nan where no lesion voxel was counted.
    """
    lesion, other, lesion_above, other_above, is_zero = _occupied(histogram)
    total = int(lesion.sum())
    if not total:
        return Enclosed(*[float("nan")] * 3)
    found, false = lesion_above + lesion, other_above + other
    value = lesion * found / (found + false)
    upper = lesion * found / np.maximum(found + other_above, 1)
    before = np.maximum(lesion_above + false, 1)  # 0 only where `false` is 0 as well
    lower = lesion - false * np.log1p(lesion / before)
    lower, upper = np.where(is_zero, value, lower), np.where(is_zero, value, upper)
    return Enclosed(*(float(np.clip(part.sum() / total, 0, 1)) for part in (value, lower, upper)))


def pooled_oracle_dice(histogram: ScoreHistogram) -> Enclosed:
    """Best Dice over one threshold for all scans, chosen on the labels: never a result.

    Lesion voxels outside the brain are missed. The value tries the thresholds between bins, so
    it is the lower bound; the upper one lets the lesion voxels of a bin come first.

    Returns:
        Value and bounds in [0, 1]; all nan where no lesion voxel was counted.
    """
    lesion, other, lesion_above, other_above, is_zero = _occupied(histogram)
    total = int(lesion.sum()) + histogram.missed
    if not total:
        return Enclosed(*[float("nan")] * 3)
    found, false = lesion_above + lesion, other_above + other
    value = float((2 * found / (found + false + total)).max(initial=0.0))
    first = np.where(is_zero, false, other_above)
    upper = float((2 * found / (found + first + total)).max(initial=0.0))
    return Enclosed(value, value, upper)


def count_overlap(found: BoolArray, truth: BoolArray) -> Overlap:
    """Count the voxels that `pooled_dice` needs of one scan.

    Raises:
        GeometryError: shapes differ.
        EvaluationError: a mask is not bool.

    >>> count_overlap(np.array([True, True, False]), np.array([True, False, False]))
    Overlap(found=2, true=1, both=1)
    """
    check_masks(found, truth)
    return Overlap(int(found.sum()), int(truth.sum()), int((found & truth).sum()))


def pooled_dice(overlaps: Iterable[Overlap]) -> float:
    """Dice over all voxels of all scans at the threshold that made the masks; higher is better.

    Returns:
        2 Σ both / (Σ found + Σ true); nan where no scan has a lesion.

    >>> pooled_dice([Overlap(found=2, true=1, both=1), Overlap(found=1, true=0, both=0)])
    0.5
    """
    counts = list(overlaps)
    found, true, both = (sum(part) for part in zip(*counts, strict=True)) if counts else (0, 0, 0)
    return 2 * both / (found + true) if true else float("nan")


def _bins_of(values: FloatArray, bits: int) -> NDArray[np.int64]:
    """Return the leading bits of each score as a number that grows with the score."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if not np.isfinite(single).all():
        raise EvaluationError("scores must fit into float32, found some beyond 3.4e38")
    single[np.abs(single) < np.finfo(np.float32).tiny] = 0  # also −0 and what is below 1.2e-38
    pattern = single.view(np.uint32)
    ordered = np.where(pattern >> 31, ~pattern, pattern | np.uint32(1 << 31))
    return (ordered >> np.uint32(32 - bits)).astype(np.int64)


def _occupied(histogram: ScoreHistogram) -> tuple[NDArray[np.int64], ...]:
    """Return lesion and other voxels of occupied bins, highest first, those above, and if it is 0.

    The bin of 0 lies in the middle: the sign is the leading bit.
    """
    levels = np.flatnonzero(histogram.lesion + histogram.other)[::-1]
    lesion, other = histogram.lesion[levels], histogram.other[levels]
    above = np.cumsum(lesion) - lesion, np.cumsum(other) - other
    return lesion, other, *above, (levels == histogram.lesion.size // 2).astype(np.int64)
