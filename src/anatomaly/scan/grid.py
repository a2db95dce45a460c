"""The scan's grid: which affine of a header counts, in which unit, and whether it is a head's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from anatomaly.errors import GeometryError
from anatomaly.geometry import (
    MAX_SPACING_MM,
    MIN_SPACING_MM,
    MM_PER_UNIT,
    apply_affine,
    check_affine,
    mm_per_unit,
    spacing_mm,
)
from anatomaly.types import Affine

MIN_EXTENT_MM = 60.0
"""A head is 130 mm or more along every axis; thinner is a slab that cannot be registered."""

_UNIT_NAMES = {1: "metre", 3: "micrometre"}


@dataclass(frozen=True)
class Grid:
    """Where the voxels lie.

    Attributes:
        affine: (4, 4) voxel indices to scanner RAS+ mm.
        header: header whose grid is whole: what is written with it lies on the input's grid.
        origin: `sform`, `qform` or `none` (position unknown).
        warnings: what was chosen or put right, in plain sentences.
    """

    affine: Affine
    header: nib.Nifti1Header
    origin: str
    warnings: tuple[str, ...]


@np.errstate(all="ignore")  # damaged headers hold numbers like 1e300; the checks below see them
def find_grid(header: nib.Nifti1Header, what: str) -> Grid:
    """Find the affine of a 3D header; the unit of the file becomes mm.

    The sform counts if its code is set, else the qform; where the first is unusable and the other
    is not, the other one is used and the header that comes back no longer names the bad one.

    Args:
        header: of a 3D image; not changed.
        what: how messages name the scan.

    Raises:
        GeometryError: no usable affine, absurd voxel sizes, or a slab too thin to be a head.
    """
    fixed = header.copy()
    affine, origin, warnings = _choose(fixed, what)
    scale, unit_warnings = _mm_per_file_unit(fixed, spacing_mm(affine))
    affine = affine.copy()
    affine[:3] *= scale
    shape = fixed.get_data_shape()
    _check_sizes(affine, shape[:3], what)
    warnings += unit_warnings
    if origin == "sform":
        warnings += _disagreements(fixed, affine, scale)
    return Grid(affine, fixed, origin, tuple(warnings))


def _choose(header: nib.Nifti1Header, what: str) -> tuple[Affine, str, list[str]]:
    """Return the affine in the file's unit, where it came from, and warnings; mend the header."""
    forms = {"sform": _usable(header, "sform"), "qform": _usable(header, "qform")}
    for name, other in (("sform", "qform"), ("qform", "sform")):
        affine = forms[name][0]
        if affine is None:
            continue
        other_reason = forms[other][1]
        if not other_reason:
            return affine, name, []
        _forget(header, other)
        return affine, name, [f"the {other} is unusable ({other_reason}); the {name} is used"]
    reasons = [f"{name}: {reason}" for name, (_, reason) in forms.items() if reason]
    if reasons:
        raise GeometryError(
            f"{what}: no usable affine ({'; '.join(reasons)}); convert the scan again from DICOM"
        )
    base = check_affine(header.get_base_affine(), f"{what}: voxel sizes of a header without codes")
    unknown = (
        "the header holds no position (sform and qform codes are 0); left, right and origin are "
        "those of the file format's default and may be wrong"
    )
    return base, "none", [unknown]


def _usable(header: nib.Nifti1Header, name: str) -> tuple[Affine | None, str]:
    """Return the form and "", or None and what is wrong with it ("" where its code is not set)."""
    if int(header[f"{name}_code"]) == 0:
        return None, ""
    try:
        affine: Any = header.get_sform() if name == "sform" else header.get_qform()
        return check_affine(affine, name), ""
    except (GeometryError, HeaderDataError, ValueError) as error:
        return None, str(error).removeprefix(f"{name}: ").split(";")[0]


def _forget(header: nib.Nifti1Header, name: str) -> None:
    """Clear one of the two forms, so that no reader of a result falls for it."""
    header[f"{name}_code"] = 0
    if name == "sform":
        for row in ("srow_x", "srow_y", "srow_z"):
            header[row] = 0
        return
    for field in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):
        header[field] = 0
    affine = np.stack([header["srow_x"], header["srow_y"], header["srow_z"]])
    header["pixdim"][1:4] = np.linalg.norm(affine[:, :3].astype(np.float64), axis=0)


def _mm_per_file_unit(
    header: nib.Nifti1Header, spacing: np.ndarray[Any, Any]
) -> tuple[float, list[str]]:
    """Return the factor to mm; a unit that would make the voxels absurd is not believed."""
    code = int(header["xyzt_units"]) & 7
    if code not in MM_PER_UNIT:
        return 1.0, []
    factor, name = mm_per_unit(code, spacing), _UNIT_NAMES[code]
    if factor is not None:
        return factor, [f"the header is in {name}s; converted to mm"]
    converted = spacing * MM_PER_UNIT[code]
    return 1.0, [
        f"the header claims {name}s, which would make voxels of {_sizes(converted)} mm; read as mm"
    ]


def _check_sizes(affine: Affine, shape: tuple[int, ...], what: str) -> None:
    """Refuse voxel sizes and extents that no head scan has."""
    spacing = spacing_mm(affine)
    if spacing.min() < MIN_SPACING_MM or spacing.max() > MAX_SPACING_MM:
        raise GeometryError(
            f"{what}: voxels of {_sizes(spacing)} mm, expected {MIN_SPACING_MM} to "
            f"{MAX_SPACING_MM:g} mm along every axis; if the header is in another unit, set its "
            "xyzt_units, else convert the scan again from DICOM"
        )
    extent = spacing * np.asarray(shape)
    if extent.min() < MIN_EXTENT_MM:
        raise GeometryError(
            f"{what}: the scan covers {_sizes(extent)} mm, at least {MIN_EXTENT_MM:g} mm are "
            "needed along every axis; give a series that covers the whole head"
        )


def _disagreements(header: nib.Nifti1Header, affine: Affine, scale: float) -> list[str]:
    """Say where the qform or the voxel sizes tell another story than the sform in use."""
    spacing = spacing_mm(affine)
    named = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64)) * scale
    warnings = []
    if not np.allclose(named, spacing, rtol=0.02, atol=0.01):
        warnings.append(
            f"the header names voxels of {_sizes(named)} mm, its sform makes them "
            f"{_sizes(spacing)} mm; the sform is used"
        )
    qform, _ = _usable(header, "qform")
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


def _sizes(values: np.ndarray[Any, Any]) -> str:
    """Write three lengths: 0.94 x 0.94 x 5.5."""
    return " x ".join(f"{v:.3g}" for v in values)
