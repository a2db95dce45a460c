"""Cut the empty margins off a scan, and give them back: what lies there must not change the answer.

Brain extraction and bias correction look at the whole grid (percentiles, spans of a spline, a
network's 128³ view), so ten empty voxels more would move every result. What was cut is empty by a
rule that leaves ordinary scans alone, see `MOST_SPREAD`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from anatomaly.preprocess.background import UsualRange
from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import Volume

MOST_SPREAD = 0.01
"""An outer plane is empty where its values differ by no more than this share of the usual range.

Padding (one value, or faint noise) is; air as a scanner records it is not (.04 and more in the raw
heads at hand), so a scan that nobody padded is not cut."""

Box = tuple[slice, ...]


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
    data = volume.data if but is None else np.where(but, np.nan, volume.data)
    box = _content_box(data, MOST_SPREAD * usual.width)
    if also is not None and also.any():
        marked = ndimage.find_objects(also.astype(np.uint8))[0]
        pairs = zip(box, marked, strict=True)
        box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in pairs)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return Volume(np.ascontiguousarray(volume.data[box]), affine), Crop(box, volume.shape)


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


def _content_box(data: FloatArray, most_spread: float) -> Box:
    """Peel empty planes off all six sides until none is left; everything where all are empty."""
    whole = box = tuple(slice(0, size) for size in data.shape)
    before: Box = ()
    while box != before:
        before = box
        for axis in range(3):
            planes, start = np.moveaxis(data[box], axis, 0), box[axis].start
            first = _first_filled(planes, most_spread)
            if first is None:
                return whole
            last = len(planes) - 1 - (_first_filled(planes[::-1], most_spread) or 0)
            box = (*box[:axis], slice(start + first, start + last + 1), *box[axis + 1 :])
    return box


def _first_filled(planes: FloatArray, most_spread: float) -> int | None:
    """Return the number of the first plane whose values differ; NaN (repaired) is left out."""
    for number, plane in enumerate(planes):
        known = plane[~np.isnan(plane)]
        if known.size and float(np.ptp(known)) > most_spread:
            return number
    return None
