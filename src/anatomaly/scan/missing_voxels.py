"""NaN and Inf: background where they surround the head, a few repaired inside it, more refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anatomaly.errors import ScanError
from anatomaly.types import BoolArray

MAX_MISSING_SHARE = 0.01
"""NaN and Inf inside the head below this share of all voxels are repaired; above, refused."""


def fill_missing(data: NDArray[np.float32], missing: BoolArray, what: str) -> str:
    """Give a value to the voxels that are not finite, and say what was done.

    Below 1 % of all voxels they become 0, wherever they lie. More must lie around the head, as
    strippers and resamplers leave them: they become the background, 0 or the least intensity of a
    scan that goes below 0 (z-scored); the few inside still become 0.

    Args:
        data: (I, J, K), 0 where a voxel is missing; changed.
        missing: (I, J, K), where it is not finite.
        what: how messages name the scan.

    Raises:
        ScanError: no voxel is finite, or too many are missing inside the head.
    """
    count = int(missing.sum())
    if count < MAX_MISSING_SHARE * data.size:
        return f"{count:,} voxels are NaN or Inf; set to 0"
    if count == data.size:
        raise ScanError(f"{what}: every voxel is NaN or Inf; export the scan again")
    inside = enclosed_voxels(missing)
    bad = int(inside.sum())
    if bad >= MAX_MISSING_SHARE * data.size:
        raise ScanError(
            f"{what}: {count:,} of {data.size:,} voxels ({count / data.size:.1%}) are NaN or Inf, "
            f"{bad:,} ({bad / data.size:.1%}) of them inside the head, where at most "
            f"{MAX_MISSING_SHARE:.0%} are repaired; export the scan again, or replace them "
            "(numpy.nan_to_num) where they only mark the background"
        )
    background = _background_of(data[~missing])
    data[missing & ~inside] = background
    said = f"{count:,} voxels ({count / data.size:.0%}) are NaN or Inf; those around the head were "
    return f"{said}taken for background and set to {background:g}, {bad:,} inside it to 0"


def enclosed_voxels(missing: BoolArray) -> BoolArray:
    """Return which missing voxels lie inside the head.

    Those that have finite voxels on both sides along each of the three axes, and those of planes
    that miss altogether between planes that do not.
    """
    finite = ~missing
    inside = missing.copy()
    for axis in range(3):
        before = np.logical_or.accumulate(finite, axis=axis)
        after = np.flip(np.logical_or.accumulate(np.flip(finite, axis), axis=axis), axis)
        inside &= before & after
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(finite.any(axis=others))
        gaps = np.setdiff1d(np.arange(filled[0], filled[-1]), filled)
        np.moveaxis(inside, axis, 0)[gaps] = True
    return inside


def _background_of(finite: NDArray[np.float32]) -> float:
    """Return 0, or the least intensity of a scan that goes far below 0."""
    return 0.0 if float(np.percentile(finite, 2.0)) >= 0 else float(finite.min())
