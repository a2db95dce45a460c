"""Figures that show what a part of the method is for, on drawn scans whose healthy truth is known.

They speak of the voxels of a lesion, or of those around it, and need the healthy image or tissue
map behind the scan: real patients have neither.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anatomaly.types import BoolArray, FloatArray


def copied_share(
    rebuilt: FloatArray,
    seen: FloatArray,
    healthy: FloatArray,
    where: BoolArray,
    *,
    centred: bool = False,
) -> float:
    """Share of what a scan differs from its healthy image that comes back in the rebuilt image.

    Σ (φ − h)(x − h) / Σ (x − h)² over the voxels, with φ the rebuilt image, x the scan and h the
    healthy image. Inside a lesion it is the share of the lesion that is copied, around it the share
    of noise and residual bias. 0 is best.

    Args:
        rebuilt: (I, J, K) in [0, 1].
        seen: the same shape and range.
        healthy: the same shape and range.
        where: (I, J, K), voxels that count.
        centred: take both differences from their means, so that an image that is too bright as a
            whole copies nothing; not for lesions, whose mean is what they are.

    Returns:
        0 where nothing is copied, 1 where all is; an error of φ that has nothing to do with x − h
        does not count on average. nan where x equals h.

    >>> healthy, seen = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    >>> round(copied_share(np.array([0.6, 0.4]), seen, healthy, np.array([True, True])), 3)
    0.25
    """
    change = (seen[where] - healthy[where]).astype(np.float64)
    if centred and change.size:
        change -= change.mean()
    power = float((change**2).sum())
    kept = float(((rebuilt[where] - healthy[where]) * change).sum())
    return kept / power if power > 0 else float("nan")


def tissue_share(found: NDArray[np.uint8], truth: NDArray[np.uint8], where: BoolArray) -> float:
    """Share of voxels whose tissue is the true one: the Dice of all tissues counted together.

    Inside a lesion a tissue may be missing, and then has no Dice of its own.

    Args:
        found: (I, J, K) of 0 to 3.
        truth: the same shape.
        where: (I, J, K), voxels that count.

    Returns:
        In [0, 1], higher is better; nan where no voxel counts.

    >>> tissue_share(np.array([1, 2, 3]), np.array([1, 2, 2]), np.array([False, True, True]))
    0.5
    """
    return float((found[where] == truth[where]).mean()) if where.any() else float("nan")


def show_lesion(tissue: NDArray[np.uint8], lesion: BoolArray) -> NDArray[np.uint8]:
    """Give a lesion the tissue that is rarest in it, as an extractor would that is fooled wholly.

    Args:
        tissue: (I, J, K) of 0 to 3, healthy.
        lesion: (I, J, K).

    Returns:
        (I, J, K) of 0 to 3; background stays what it is.

    >>> show_lesion(np.array([0, 2, 3, 3], np.uint8), np.array([True, True, True, False])).tolist()
    [0, 1, 1, 3]
    """
    inside = lesion & (tissue > 0)
    counts = np.bincount(tissue[inside], minlength=4)[1:]
    return np.where(inside, 1 + int(counts.argmin()), tissue).astype(np.uint8)
