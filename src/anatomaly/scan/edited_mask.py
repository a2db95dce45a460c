"""A mask that a person edited in a program of their own: read, and laid on the grid it was made on.

Editors save what they like: floats, labels above 1, a fourth axis, the axes in another order, an
affine that was rounded. All of that is taken. What is not certain is refused.
"""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from anatomaly.errors import ScanError
from anatomaly.geometry import affine_in_mm, apply_affine
from anatomaly.volume import Volume

LEAST = 0.5
"""From which value a voxel is inside: half-way between outside and the first label."""

TOLERANCE = 0.5
"""Voxels that a corner may lie away: editors round affines, and within half a voxel everywhere the
nearest voxel is still the same one."""


def find_edit(stem: Path, before: Volume) -> Volume | None:
    """Return the mask that a person changed; None where it is as it was.

    Args:
        stem: path of the mask without its ending; looked for as `.nii.gz` and as `.nii`.
        before: (I, J, K), above zero where the table of lesions was made; on the grid of the scan.

    Returns:
        uint8, 0 or 1, on the grid of `before`.

    Raises:
        ScanError: there is no mask, it cannot be read, lies on another grid, holds values that are
            no numbers, or both files were changed and differ.
    """
    paths = [p for p in (Path(f"{stem}.nii.gz"), Path(f"{stem}.nii")) if p.is_file()]
    if not paths:
        raise ScanError(
            f"{stem}.nii.gz: there is no such mask to tabulate; put the corrected one there"
        )
    masks = [read_edited_mask(path, before) for path in paths]
    changed = [mask for mask in masks if (mask.data != (before.data > 0)).any()]
    if len(changed) > 1 and (changed[0].data != changed[1].data).any():
        raise ScanError(
            f"{paths[0]} and {paths[1].name} beside it were both changed, and differ; keep the one "
            "that is right and remove the other"
        )
    return changed[0] if changed else None


def read_edited_mask(path: Path, grid: Volume) -> Volume:
    """Read a mask and lay it on a grid: 1 where its value is `LEAST` or more.

    Args:
        path: NIfTI.
        grid: of the scan; nothing is resampled, axes are turned and flipped at most.

    Returns:
        uint8 of the shape of the grid.

    Raises:
        ScanError: as `find_edit`.
    """
    if path.stat().st_size == 0:
        raise ScanError(f"{path}: is empty (0 bytes); save the mask again from your editor")
    try:
        image: Any = nib.load(path)
        data = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, zlib.error, ImageFileError) as error:
        raise ScanError(
            f"{path}: cannot be read ({error}); save the mask again from your editor, as NIfTI"
        ) from error
    if data.dtype.kind not in "buif":
        raise ScanError(
            f"{path}: holds {data.dtype}, no numbers (colours?); save the mask as a label image"
        )
    if data.ndim > 3 and all(length == 1 for length in data.shape[3:]):
        data = data.reshape(data.shape[:3])
    if data.ndim != 3:
        raise ScanError(f"{path}: has the shape {data.shape}; save one mask of three axes")
    if strange := int((~np.isfinite(data)).sum()):
        raise ScanError(
            f"{path}: {strange:,} voxels hold no number (NaN or infinity); set them to 0 or 1 in "
            "your editor and save again"
        )
    turned = _turn(data, affine_in_mm(image.affine, image.header), grid, path)
    return grid.with_data((turned >= LEAST).astype(np.uint8))


def _turn(data: np.ndarray[Any, Any], affine: Any, grid: Volume, path: Path) -> Any:
    """Return the array with its axes as those of the grid, if it lies there."""
    orientation = ornt_transform(io_orientation(affine), io_orientation(grid.affine))
    turned = apply_orientation(data, orientation)
    affine = affine @ inv_ornt_aff(orientation, data.shape)
    remedy = (
        "; draw on anomaly_mask.nii.gz itself, or resample your mask to its grid (nearest "
        "neighbour)"
    )
    if turned.shape != grid.shape:
        raise ScanError(
            f"{path}: lies on another grid, of {data.shape} voxels; the scan has {grid.shape}"
            f"{remedy}"
        )
    corners = np.array(list(itertools.product(*((0, n - 1) for n in grid.shape))), np.float64)
    there, here = (apply_affine(a, corners) for a in (affine, grid.affine))
    away_mm = float(np.linalg.norm(there - here, axis=1).max())
    if away_mm >= TOLERANCE * float(grid.spacing_mm.min()):
        raise ScanError(
            f"{path}: lies on another grid: a corner is {away_mm:.2f} mm from where the scan has it"
            f"{remedy}"
        )
    return turned
