"""Turn the axes of a volume towards RAS+ (right, front, up), and back; no voxel changes value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from anatomaly.errors import GeometryError
from anatomaly.types import Affine
from anatomaly.volume import Volume


@dataclass(frozen=True)
class Reorientation:
    """What `reorient` did.

    Attributes:
        axes: axis codes of the volume before, for example ("L", "P", "S").
        shape: (I, J, K) before.
        affine: (4, 4) before, voxel indices to RAS+ mm.
    """

    axes: tuple[str, str, str]
    shape: tuple[int, int, int]
    affine: Affine


def reorient(volume: Volume) -> tuple[Volume, Reorientation]:
    """Permute and flip the axes so that they point closest to right, front and up.

    An oblique volume stays oblique: its affine says so, and its voxels are not resampled.

    >>> flipped = Volume(np.arange(24).reshape(2, 3, 4), np.diag([-1.0, 1.0, 1.0, 1.0]))
    >>> turned, record = reorient(flipped)
    >>> record.axes, turned.affine[0].tolist()
    (('L', 'A', 'S'), [1.0, 0.0, 0.0, -1.0])
    """
    orientation = io_orientation(volume.affine)
    if np.isnan(orientation).any():
        raise GeometryError("the affine leaves an axis without a direction; repair the header")
    affine = volume.affine @ inv_ornt_aff(orientation, volume.shape)
    data = np.ascontiguousarray(apply_orientation(volume.data, orientation))
    first, second, third = (str(code) for code in aff2axcodes(volume.affine))
    record = Reorientation((first, second, third), volume.shape, volume.affine.copy())
    return Volume(data, affine), record


def undo_reorient(volume: Volume, record: Reorientation) -> Volume:
    """Return the volume with the axes it had before `reorient`, and exactly the old affine."""
    back = ornt_transform(axcodes2ornt(("R", "A", "S")), axcodes2ornt(record.axes))
    data = np.ascontiguousarray(apply_orientation(volume.data, back))
    if data.shape != record.shape:
        raise GeometryError(f"shape {data.shape} is not that before turning, {record.shape}")
    return Volume(data, record.affine.copy())
