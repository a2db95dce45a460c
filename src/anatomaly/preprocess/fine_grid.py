"""Scans of very many voxels: prepared on a coarser copy, and brought back to their own grid.

The networks see 1 mm whatever the scan has, so nothing that they see is lost; time and memory of
brain extraction and bias field grow with the number of voxels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anatomaly.preprocess.bias_field import BiasField
from anatomaly.preprocess.resample import resample, resample_mask
from anatomaly.volume import Volume

MOST_VOXELS = 64_000_000
"""Larger scans are made coarser; 512 x 512 x 240 is just within."""
COARSEST_MM = 1.0
"""Voxels do not become larger than those of the working grid."""


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
