"""Voxels as stored become finite float32 intensities; what is no MR image of a head is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anatomaly.errors import ScanError
from anatomaly.types import BoolArray
from anatomaly.volume import outer_faces

MAX_LABELS = 20
"""An image with no more distinct values than this is a mask or a label map."""
MAX_EQUAL_NEIGHBOURS = 0.5
"""Share of equal neighbours in an integer image; .02-.15 in MR, .74 and more in parcellations."""
MAX_MISSING_SHARE = 0.01
"""NaN and Inf inside the head below this share of all voxels are repaired; above, refused."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_LARGE = 1e15
"""Above this, squares of intensities leave float32."""


@dataclass(frozen=True)
class Intensities:
    """Intensities that are safe to compute with.

    Attributes:
        data: (I, J, K) float32, finite, in the scan's own unit.
        warnings: repairs and doubts, in plain sentences.
        summary: JSON values: minimum, maximum, background, repaired_voxels.
    """

    data: NDArray[np.float32]
    warnings: tuple[str, ...]
    summary: dict[str, Any]


def to_intensities(
    voxels: np.ndarray[Any, Any], slope: float, intercept: float, what: str
) -> Intensities:
    """Scale stored voxels, repair those that are not finite, and judge the whole.

    Negative values are kept as they are: a z-scored scan has a negative, constant background.

    Args:
        voxels: (I, J, K), any real type.
        slope: intensity = slope * voxel + intercept.
        intercept: see slope.
        what: how messages name the scan.

    Raises:
        ScanError: too many NaN or Inf inside the head, beyond float32, all zeros or constant, a
            mask or label map, or a CT.
    """
    data, missing = _scaled(voxels, slope, intercept, what)
    warnings, bad = [], 0
    if missing is not None:
        bad = int(missing.sum())
        warnings.append(fill_missing(data, missing, what))
    low, high = float(data.min()), float(data.max())
    if low == high:
        kind = "only zeros" if low == 0 else f"the constant value {low:g}"
        raise ScanError(f"{what}: the image holds {kind}; export the scan again")
    _refuse_labels(data, what)
    _refuse_ct(data, what)
    background = background_value(data)
    if background < 0:
        warnings.append(
            f"the background is negative ({background:g}), as in z-scored scans; intensities are "
            "kept as they are"
        )
    if max(abs(low), abs(high)) > _LARGE:
        warnings.append(f"intensities reach {max(abs(low), abs(high)):.3g}; check the export")
    summary = {"minimum": low, "maximum": high, "background": background, "repaired_voxels": bad}
    return Intensities(data, tuple(warnings), summary)


def background_value(data: NDArray[np.float32]) -> float:
    """Return the median intensity of the volume's six faces (air, or what a stripper left)."""
    return float(np.median(outer_faces(data)))


def _scaled(
    voxels: np.ndarray[Any, Any], slope: float, intercept: float, what: str
) -> tuple[NDArray[np.float32], BoolArray | None]:
    """Return float32 intensities with 0 for each that is not finite, and which were not."""
    data = np.empty(voxels.shape, dtype=np.float32)
    missing: BoolArray | None = None
    with np.errstate(all="ignore"):
        for k in range(voxels.shape[2]):
            plane = voxels[:, :, k].astype(np.float64)
            if (slope, intercept) != (1.0, 0.0):
                plane = plane * slope + intercept
            finite = np.isfinite(plane)
            if not finite.all():
                missing = np.zeros(voxels.shape, dtype=bool) if missing is None else missing
                missing[:, :, k] = ~finite
                plane[~finite] = 0
            if np.abs(plane).max() > _FLOAT32_MAX:
                raise ScanError(
                    f"{what}: intensities reach {np.abs(plane).max():.3g}, beyond the range of "
                    f"32-bit floats ({_FLOAT32_MAX:.1e}); the file is damaged, export it again"
                )
            data[:, :, k] = plane
    return data, missing


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
    finite = data[~missing]
    background = 0.0 if float(np.percentile(finite, 2.0)) >= 0 else float(finite.min())
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


def _refuse_labels(data: NDArray[np.float32], what: str) -> None:
    """Refuse masks (few values) and parcellations (integers in patches)."""
    sample = data.ravel()[:: max(1, data.size // 100_000)]
    distinct = np.unique(sample).size
    if distinct <= MAX_LABELS:
        distinct = np.unique(data).size
    if distinct <= MAX_LABELS:
        sign = f"only {distinct} distinct values"
    elif np.array_equal(sample, np.rint(sample)) and _equal_neighbours(data) > MAX_EQUAL_NEIGHBOURS:
        sign = "integers in patches of equal value"
    else:
        return
    raise ScanError(
        f"{what}: {sign}: this looks like a mask or label map; give the MR image itself"
    )


def _equal_neighbours(data: NDArray[np.float32]) -> float:
    """Return the smallest share, over the axes, of foreground neighbours of equal value."""
    background = background_value(data)
    shares = []
    for axis in range(3):
        moved = np.moveaxis(data, axis, 0)
        one, two = moved[1:], moved[:-1]
        inside = (one != background) & (two != background)
        equal, pairs = (int(np.count_nonzero(kind)) for kind in ((one == two) & inside, inside))
        shares.append(equal / max(1, pairs))
    return min(shares)


def _refuse_ct(data: NDArray[np.float32], what: str) -> None:
    """Refuse Hounsfield units: air near -1000 and soft tissue between 0 and 100."""
    if float(data.min()) > -900:
        return
    air = float((data <= -900).mean())
    body = data[data > -500]
    soft = float(((body >= 0) & (body <= 100)).mean()) if body.size else 0.0
    if air >= 0.1 and soft >= 0.2:
        raise ScanError(
            f"{what}: this looks like a CT (minimum {float(data.min()):g}, {air:.0%} of the voxels "
            "like air and soft tissue at 0 to 100 Hounsfield units); only T1w, T2w and FLAIR MR "
            "images can be used"
        )
