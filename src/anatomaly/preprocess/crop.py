"""Cut the empty margins off a scan, and give them back: what lies there must not change the answer.

Brain extraction and bias correction look at the whole grid (percentiles, spans of a spline, a
network's 128³ view), so ten empty voxels more would move every result. What was cut is empty by a
rule that leaves ordinary scans alone, see `MOST_SPREAD`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from anatomaly.preprocess.usual_range import UsualRange
from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import Volume

MOST_SPREAD = 0.01
"""An outer plane is empty where its values differ by no more than this share of the usual range.

Padding (one value, or faint noise) is; air as a scanner records it is not (.04 and more in the raw
heads at hand), so a scan that nobody padded is not cut."""

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Crop:
    """What `crop_to_content` did.

    Attributes:
        box: part of each axis that was kept.
        shape: (I, J, K) before.
    """

    box: Box
    shape: tuple[int, int, int]

    @property
    def removed(self) -> list[list[int]]:
        """Planes cut off at the start and at the end of each axis."""
        return [
            [part.start, size - part.stop] for part, size in zip(self.box, self.shape, strict=True)
        ]

    @property
    def is_whole(self) -> bool:
        """True where nothing was cut."""
        return not np.any(self.removed)


def crop_to_content(
    volume: Volume,
    usual: UsualRange,
    also: BoolArray | None = None,
    but: BoolArray | None = None,
) -> tuple[Volume, Crop]:
    """Cut off outer planes that hold one value, or hardly more.

    Args:
        volume: finite, any unit.
        usual: range of its intensities.
        also: bool, same grid; what it marks is kept (a brain mask that the user gave).
        but: bool, same grid; what it marks makes no plane worth keeping (repaired voxels).

    Returns:
        The part that holds something, at the same place in scanner mm; and the record. A volume
        without content stays whole.
    """
    seen = volume.data if but is None else np.where(but, np.nan, volume.data)
    box = _content_box(seen, MOST_SPREAD * usual.width)
    if also is not None and also.any():
        box = _union(box, ndimage.find_objects(also.astype(np.uint8))[0])
    return _cut(volume, box), Crop(box, volume.shape)


def undo_crop(volume: Volume, record: Crop, grid: Volume, fill: float = 0.0) -> Volume:
    """Return the volume on the grid it was cut from.

    Args:
        volume: on the grid that `crop_to_content` returned.
        record: of the same call.
        grid: the volume before; only its shape and affine are used.
        fill: value of what was cut off.
    """
    data = np.full(record.shape, fill, dtype=volume.data.dtype)
    data[record.box] = volume.data
    return Volume(data, grid.affine.copy())


def _cut(volume: Volume, box: Box) -> Volume:
    """Return the part of a volume inside a box."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return Volume(np.ascontiguousarray(volume.data[box]), affine)


def _content_box(data: FloatArray, most_spread: float) -> Box:
    """Peel empty planes off all six sides until none is left; everything where all are empty."""
    start, stop = [0, 0, 0], list(data.shape)
    moved = True
    while moved:
        moved = False
        for axis in range(3):
            part = data[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
            first, last = _filled(part, axis, most_spread)
            if first > last:
                return slice(0, data.shape[0]), slice(0, data.shape[1]), slice(0, data.shape[2])
            moved |= first > 0 or last < part.shape[axis] - 1
            start[axis], stop[axis] = start[axis] + first, start[axis] + last + 1
    return slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2])


def _filled(data: FloatArray, axis: int, most_spread: float) -> tuple[int, int]:
    """Return the first and the last plane along an axis that is not empty; (0, -1) if all are."""
    planes = np.moveaxis(data, axis, 0)
    first, last = 0, len(planes) - 1
    while first <= last and _spread(planes[first]) <= most_spread:
        first += 1
    while last >= first and _spread(planes[last]) <= most_spread:
        last -= 1
    return (first, last) if first <= last else (0, -1)


def _spread(plane: FloatArray) -> float:
    """Return how far the values of a plane lie apart; NaN (a repaired voxel) is left out."""
    known = plane[~np.isnan(plane)]
    return float(np.ptp(known)) if known.size else 0.0


def _union(one: Box, other: Box) -> Box:
    """Return the smallest box that holds both."""
    first, second, third = (
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return first, second, third
