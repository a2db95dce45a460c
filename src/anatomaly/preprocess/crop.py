"""Make a scan smaller before anything is looked for in it, and undo that for the results.

Empty margins are cut off: what lies there must not change the answer. Brain extraction and bias
correction look at the whole grid (percentiles, spans of a spline, a network's 128³ view), so ten
empty voxels more would move every result. What was cut is empty by a rule that leaves ordinary
scans alone, see `MOST_SPREAD`.

Scans of very many voxels are prepared on a coarser copy. The networks see 1 mm whatever the scan
has, so nothing that they see is lost; time and memory of brain extraction and bias field grow with
the number of voxels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from anatomaly.preprocess.background import MOST_SPREAD, UsualRange
from anatomaly.preprocess.bias_field import BiasField
from anatomaly.preprocess.resample import resample, resample_mask
from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import Volume

MOST_VOXELS = 64_000_000
"""Larger scans are made coarser; 512 x 512 x 240 is just within."""
COARSEST_MM = 1.0
"""Voxels do not become larger than those of the working grid."""

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


def coarsen(volume: Volume) -> Volume:
    """Return a scan of at most 64 million voxels, or one with voxels of about 1 mm.

    Pairs of neighbours are averaged along the axis of the smallest voxels, as often as needed.
    An axis of odd length gets its last plane twice. Smaller scans come back as they are.

    Args:
        volume: float32, any grid.
    """
    while volume.data.size > MOST_VOXELS:
        axis = int(np.argmin(volume.spacing_mm))
        if 2 * volume.spacing_mm[axis] > COARSEST_MM:
            break
        volume = _halve(volume, axis)
    return volume


def refine(
    mask: Volume, bias_field: BiasField | None, grid: Volume
) -> tuple[Volume, BiasField | None]:
    """Undo `coarsen` for what the way back needs: brain mask and bias field on the scan's grid.

    Args:
        mask: bool, the coarse grid.
        bias_field: on the coarse grid, None where there is none.
        grid: before `coarsen`; only its shape and affine are used.
    """
    if mask.shape == grid.shape:
        return mask, bias_field
    fine_mask = Volume(resample_mask(mask, grid), grid.affine.copy())
    if bias_field is None:
        return fine_mask, None
    return fine_mask, replace(bias_field, field=resample(bias_field.field, grid))


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


def _halve(volume: Volume, axis: int) -> Volume:
    """Average pairs of planes along an axis."""
    data = np.moveaxis(volume.data, axis, 0)
    first, second = data[::2], data[1::2]
    if len(first) > len(second):
        second = np.concatenate([second, data[-1:]])
    mean = np.moveaxis((first + second) / np.float32(2), 0, axis)
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, axis] / 2
    affine[:3, axis] *= 2
    return Volume(np.ascontiguousarray(mean), affine)
