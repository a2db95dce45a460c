"""Which of a NIfTI header's three stories about the grid counts: sform, qform or voxel sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from anatomaly.errors import GeometryError
from anatomaly.geometry import check_affine, has_plausible_voxels, mm_per_unit, spacing_mm
from anatomaly.types import Affine

HEAD_EXTENT_MM = (100.0, 350.0)
"""Fields of view of whole heads lie between along every axis; a form outside is doubted."""

_NIBABEL_EXCESS = 3 * float(np.finfo(np.float32).eps)
"""By so much may a squared quaternion exceed 1 before nibabel refuses it."""
_WORTH_A_WORD, _MOST_EXCESS = 1e-4, 0.02
_SAME_SIZE = 0.02
_ROWS = ("srow_x", "srow_y", "srow_z")
_QUATERNION = ("quatern_b", "quatern_c", "quatern_d")


@dataclass(frozen=True)
class Grid:
    """Where the voxels lie.

    Attributes:
        affine: (4, 4), voxel indices to RAS+, in the file's unit until `find_grid` brings it to mm.
        header: header whose grid is whole: what is written with it lies on the input's grid.
        origin: `sform`, `qform` or `none` (position unknown).
        warnings: what was chosen or put right, in plain sentences.
    """

    affine: Affine
    header: nib.Nifti1Header
    origin: str
    warnings: tuple[str, ...] = ()


def choose_form(header: nib.Nifti1Header, what: str) -> Grid:
    """Choose the affine of a header, and make the header forget what is wrong in it.

    The sform counts if its code is set, else the qform. One that is unusable, or whose voxels
    would make no head, gives way to the other (or to the voxel sizes) if that one would.

    Args:
        header: of a 3D image; changed.
        what: how messages name the scan.

    Returns:
        The affine in the file's unit.

    Raises:
        GeometryError: no usable affine.
    """
    said = _shorten_quaternion(header)
    grid = _first_usable(header, what)
    if not _is_head(grid.affine, header):
        grid = _better(grid) or grid
    return Grid(grid.affine, header, grid.origin, (*said, *grid.warnings))


def usable_form(header: nib.Nifti1Header, name: str) -> tuple[Affine | None, str]:
    """Return the form and "", or None and what is wrong with it ("" where its code is not set)."""
    if int(header[f"{name}_code"]) == 0:
        return None, ""
    try:
        affine: Any = header.get_sform() if name == "sform" else header.get_qform()
        return check_affine(affine, name), ""
    except (GeometryError, HeaderDataError, ValueError) as error:
        return None, str(error).removeprefix(f"{name}: ").split(";")[0]


def forget_form(header: nib.Nifti1Header, name: str) -> None:
    """Clear one of the two forms, so that no reader of a result falls for it."""
    is_sform = name == "sform"
    fields = _ROWS if is_sform else (*_QUATERNION, "qoffset_x", "qoffset_y", "qoffset_z")
    for field in (f"{name}_code", *fields):
        header[field] = 0
    if not is_sform:
        header["pixdim"][1:4] = spacing_mm(_stored_sform(header))


def sizes_text(values: np.ndarray[Any, Any]) -> str:
    """Write three lengths: 0.94 x 0.94 x 5.5."""
    return " x ".join(f"{v:.3g}" for v in values)


def _first_usable(header: nib.Nifti1Header, what: str) -> Grid:
    """Return the sform, else the qform, else the default of a header without codes."""
    forms = {"sform": usable_form(header, "sform"), "qform": usable_form(header, "qform")}
    for name, other in (("sform", "qform"), ("qform", "sform")):
        affine, reason = forms[name][0], forms[other][1]
        if affine is None:
            continue
        if not reason:
            return Grid(affine, header, name)
        forget_form(header, other)
        said = f"the {other} is unusable ({reason}); the {name} is used"
        return Grid(affine, header, name, (said,))
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
    return Grid(base, header, "none", (unknown,))


def _better(doubted: Grid) -> Grid | None:
    """Return a form that would make a head where the doubted one does not; None without one."""
    header = doubted.header
    extent = sizes_text(_extent_mm(doubted.affine, header))
    name = "default position" if doubted.origin == "none" else doubted.origin
    why = f"the {name} would make a scan of {extent} mm, which no head is"
    if doubted.origin == "sform":
        qform, _ = usable_form(header, "qform")
        if qform is not None and _would_do(qform, doubted):
            forget_form(header, "sform")
            said = f"{why}; the qform is used"
            return Grid(qform, header, "qform", (*doubted.warnings, said))
        resized = _resized(doubted.affine, header)
        if resized is not None and _would_do(resized, doubted):
            header.set_sform(resized, int(header["sform_code"]))
            said = f"{why}; its directions are used with the header's voxel sizes"
            return Grid(resized, header, "sform", (*doubted.warnings, said))
        return None
    sform = _stored_sform(header)
    try:
        check_affine(sform)
    except GeometryError:
        return None
    if not _would_do(sform, doubted):
        return None
    header["sform_code"] = 2
    forget_form(header, "qform")
    return Grid(sform, header, "sform", (f"{why}; the sform is used, though its code is 0",))


def _would_do(affine: Affine, doubted: Grid) -> bool:
    """Tell whether an affine makes a head, of another size than the one in doubt."""
    apart = np.abs(spacing_mm(affine) / spacing_mm(doubted.affine) - 1.0).max()
    return bool(apart > _SAME_SIZE) and _is_head(affine, doubted.header)


def _resized(affine: Affine, header: nib.Nifti1Header) -> Affine | None:
    """Return the directions and the origin of an affine with the voxel sizes of the header."""
    sizes = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        return None
    out = affine.copy()
    out[:3, :3] *= sizes / spacing_mm(affine)
    return out


def _is_head(affine: Affine, header: nib.Nifti1Header) -> bool:
    """Tell whether an affine makes voxels and a field of view that a head scan may have."""
    extent = _extent_mm(affine, header)
    low, high = HEAD_EXTENT_MM
    inside = bool(extent.min() >= low and extent.max() <= high)
    return inside and has_plausible_voxels(extent / np.asarray(header.get_data_shape()[:3]))


def _extent_mm(affine: Affine, header: nib.Nifti1Header) -> np.ndarray[Any, Any]:
    """Return the field of view along i, j and k, by the unit that the header's numbers make."""
    spacing = spacing_mm(affine)
    factor = mm_per_unit(int(header["xyzt_units"]) & 7, spacing) or 1.0
    return np.asarray(spacing * factor * np.asarray(header.get_data_shape()[:3]))


def _stored_sform(header: nib.Nifti1Header) -> Affine:
    """Return the sform, whatever its code."""
    rows = [header[row].astype(np.float64) for row in _ROWS]
    return np.vstack([*rows, (0.0, 0.0, 0.0, 1.0)])


def _shorten_quaternion(header: nib.Nifti1Header) -> list[str]:
    """Bring a quaternion that is a little too long to length 1, as other readers do."""
    values = np.array([float(header[name]) for name in _QUATERNION])
    excess = float((values**2).sum()) - 1.0
    if not _NIBABEL_EXCESS < excess <= _MOST_EXCESS:  # NaN too
        return []
    for name, value in zip(_QUATERNION, values / np.sqrt(1.0 + excess), strict=True):
        header[name] = value
    if excess <= _WORTH_A_WORD or int(header["qform_code"]) == 0:
        return []
    return [f"the quaternion of the qform is {excess / 2:.2%} too long; shortened"]
