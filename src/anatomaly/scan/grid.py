"""The scan's grid: which affine of a header counts, in which unit, and whether it is a head's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.errors import GeometryError
from anatomaly.geometry import (
    MAX_SPACING_MM,
    MIN_SPACING_MM,
    MM_PER_UNIT,
    apply_affine,
    mm_per_unit,
    spacing_mm,
)
from anatomaly.scan.forms import Grid, choose_form, sizes_text, usable_form
from anatomaly.types import Affine

MIN_EXTENT_MM = 60.0
"""A head is 130 mm or more along every axis; thinner is a slab that cannot be registered."""

_UNIT_NAMES: dict[float, str] = {1000.0: "metres", 0.001: "micrometres"}


@np.errstate(all="ignore")  # damaged headers hold numbers like 1e300; the checks below see them
def find_grid(header: nib.Nifti1Header, what: str) -> Grid:
    """Find the affine of a 3D header by `choose_form`; the unit of the file becomes mm.

    Args:
        header: of a 3D image; not changed.
        what: how messages name the scan.

    Raises:
        GeometryError: no usable affine, absurd voxel sizes, or a slab too thin to be a head.
    """
    grid = choose_form(header.copy(), what)
    fixed, spacing = grid.header, spacing_mm(grid.affine)
    scale, warnings = _mm_per_file_unit(fixed, spacing)
    affine = grid.affine.copy()
    affine[:3] *= scale
    _check_sizes(affine, fixed.get_data_shape()[:3], what)
    if grid.origin == "sform":
        warnings += _disagreements(fixed, affine, scale)
        if int(fixed["qform_code"]) == 0:  # nothing else stands on them
            fixed["pixdim"][1:4] = spacing
    return replace(grid, affine=affine, warnings=(*grid.warnings, *warnings))


def _mm_per_file_unit(
    header: nib.Nifti1Header, spacing: np.ndarray[Any, Any]
) -> tuple[float, list[str]]:
    """Return the factor to mm; a unit that would make the voxels absurd is not believed."""
    code = int(header["xyzt_units"]) & 7
    factor = mm_per_unit(code, spacing)
    if code in MM_PER_UNIT:
        name = _UNIT_NAMES[MM_PER_UNIT[code]]
        if factor:
            return factor, [f"the header is in {name}; converted to mm"]
        converted = sizes_text(spacing * MM_PER_UNIT[code])
        return 1.0, [
            f"the header claims {name}, which would make voxels of {converted} mm; read as mm"
        ]
    if factor and factor in _UNIT_NAMES:
        return factor, [
            f"the header names voxels of {sizes_text(spacing)} mm, which no scan has; read as "
            f"{_UNIT_NAMES[factor]}"
        ]
    return 1.0, []


def _check_sizes(affine: Affine, shape: tuple[int, ...], what: str) -> None:
    """Refuse voxel sizes and extents that no head scan has."""
    spacing = spacing_mm(affine)
    if spacing.min() < MIN_SPACING_MM or spacing.max() > MAX_SPACING_MM:
        raise GeometryError(
            f"{what}: voxels of {sizes_text(spacing)} mm, expected {MIN_SPACING_MM} to "
            f"{MAX_SPACING_MM:g} mm along every axis; if the header is in another unit, set its "
            "xyzt_units, else convert the scan again from DICOM"
        )
    extent = spacing * np.asarray(shape)
    if extent.min() < MIN_EXTENT_MM:
        raise GeometryError(
            f"{what}: the scan covers {sizes_text(extent)} mm, at least {MIN_EXTENT_MM:g} mm are "
            "needed along every axis; give a series that covers the whole head"
        )


def _disagreements(header: nib.Nifti1Header, affine: Affine, scale: float) -> list[str]:
    """Say where the qform or the voxel sizes tell another story than the sform in use."""
    spacing = spacing_mm(affine)
    named = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64)) * scale
    warnings = []
    if not np.allclose(named, spacing, rtol=0.02, atol=0.01):
        warnings.append(
            f"the header names voxels of {sizes_text(named)} mm, its sform makes them "
            f"{sizes_text(spacing)} mm; the sform is used"
        )
    qform, _ = usable_form(header, "qform")
    if qform is None:
        return warnings
    qform = qform.copy()
    qform[:3] *= scale
    ends = np.asarray(header.get_data_shape()[:3], dtype=np.float64) - 1
    corners = np.array(np.meshgrid(*[(0.0, n) for n in ends])).reshape(3, -1).T
    apart = np.linalg.norm(apply_affine(qform, corners) - apply_affine(affine, corners), axis=1)
    if apart.max() > 1.0:
        warnings.append(f"sform and qform differ by up to {apart.max():.1f} mm; the sform is used")
    return warnings
