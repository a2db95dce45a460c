"""A NIfTI header block, parsed alone; what leaves the data readable is put right, with a warning.

Where readers differ, what most of them do counts: niftilib's rules (FSL, AFNI, ITK) for values
that it mends, nibabel's for the rest.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from anatomaly.errors import GeometryError, ScanError
from anatomaly.scan.stored_image import check_voxel_type

_MAX_VOXEL_OFFSET = 64 * 1024 * 1024
_LARGEST_KNOWN_CODE = 5
_ALIGNED = 2
"""The code that says no more than 'a position is there'."""
_KINDS: dict[bytes, tuple[Any, int]] = {
    b"n+1": (nib.Nifti1Header, 348),
    b"ni1": (nib.Nifti1Header, 348),
    b"n+2": (nib.Nifti2Header, 540),
    b"ni2": (nib.Nifti2Header, 540),
}

_quiet = logging.getLogger("anatomaly.nifti_header")
"""Where nibabel's own remarks about a header go: nowhere."""
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


@dataclass(frozen=True)
class ParsedHeader:
    """A header that can be used, and what it says about the voxels.

    Attributes:
        header: of a single NIfTI file without an extension, whatever the file is.
        shape: size along each axis, as stored.
        dtype: type of the stored voxels, byte order included.
        file_type: `NIfTI-1`, `NIfTI-2` or `Analyze`.
        holds_voxels: True for a single file, False for the first half of a pair.
        said_offset: byte at which the voxels begin by the header.
        offset: the same where it can be, else None.
        slope: 1 where the header names none.
        intercept: 0 where the header names none.
        bits: that the header says a voxel has, right or wrong.
        warnings: what was put right.
    """

    header: nib.Nifti1Header
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    file_type: str
    holds_voxels: bool
    said_offset: float
    offset: int | None
    slope: float
    intercept: float
    bits: int
    warnings: tuple[str, ...]


def parse_nifti_header(path: Path, block: bytes) -> ParsedHeader | None:
    """Parse the first 540 bytes of a file; None where they are no NIfTI header.

    Raises:
        ScanError: a damaged header, or voxels that are no grey values.
        GeometryError: no voxel sizes and no sform.
    """
    sizes = header_sizes(block)
    magic = block[344:347] if 348 in sizes else block[4:7] if 540 in sizes else b""
    kind, length = _KINDS.get(magic, (None, 0))
    if kind is None or len(block) < length:
        return None
    header: nib.Nifti1Header = kind(block[:length], check=False)
    warnings = _mend_sizes(path, header)
    if int(header["sform_code"]) == 0 and not (np.abs(header["pixdim"][1:4]) > 0).all():
        raise GeometryError(
            f"{path}: the header names voxel sizes {header['pixdim'][1:4].tolist()} and no "
            "sform; it holds no usable position, convert the scan again from DICOM"
        )
    warnings += _mend_position(header)
    slope, intercept, ignored = _scaling(header)
    is_single = magic[1:2] == b"+"
    said, bits = float(header["vox_offset"]), int(header["bitpix"])
    offset = usable_offset(path, said, int(header.single_vox_offset) if is_single else 0)
    if offset is not None and offset != said:
        ignored += [f"the voxels begin at byte {said:g} by the header; taken for {offset}"]
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    dtype = checked_type(path, header, "NIfTI")
    return ParsedHeader(
        header=header,
        shape=tuple(int(n) for n in header.get_data_shape()),
        dtype=dtype,
        file_type="NIfTI-2" if isinstance(header, nib.Nifti2Header) else "NIfTI-1",
        holds_voxels=is_single,
        said_offset=said,
        offset=offset,
        slope=slope,
        intercept=intercept,
        bits=bits,
        warnings=(*warnings, *ignored, *width_warnings(bits, dtype)),
    )


def checked_type(path: Path, header: Any, kind: str) -> np.dtype[Any]:
    """Let nibabel mend a header, and return the type of its voxels.

    Raises:
        ScanError: the header is damaged, or the voxels are no grey values.
    """
    try:
        header.check_fix(logger=_quiet, error_level=40)
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise ScanError(
            f"{path}: the {kind} header is damaged ({error}); convert the scan again"
        ) from error
    check_voxel_type(path, dtype)
    return dtype


def header_sizes(block: bytes) -> set[int]:
    """Return the length of the header by its first field, in either byte order."""
    return {int.from_bytes(block[:4], order) for order in ("little", "big")}


def refuse_impossible_sizes(path: Path, header: Any) -> None:
    """Refuse a header with no axes, too many, or a negative size.

    Raises:
        ScanError: it is one.
    """
    dim = header["dim"]
    if (dim[1:4] < 0).any() or not 1 <= int(dim[0]) <= 7:
        raise ScanError(
            f"{path}: the header names an impossible size {dim.tolist()}; convert the scan again"
        )


def usable_offset(path: Path, said: float, least: int) -> int | None:
    """Return where the voxels begin, None where the header cannot mean what it says.

    Raises:
        ScanError: so far behind that no header means it.
    """
    if said > _MAX_VOXEL_OFFSET:
        raise ScanError(
            f"{path}: the header says that the voxels begin at byte {said:,.0f}; it is damaged, "
            "convert the scan again"
        )
    return int(said) if said >= least else None  # None for NaN too


def width_warnings(bits: int, dtype: np.dtype[Any]) -> tuple[str, ...]:
    """Say that type and bits of a voxel disagree."""
    if bits == dtype.itemsize * 8:
        return ()
    return (f"the header says {bits} bits a voxel for the type {dtype.name}; the type counts",)


def _mend_sizes(path: Path, header: nib.Nifti1Header) -> list[str]:
    """Put right the number of axes and the sizes of those beyond the third."""
    refuse_impossible_sizes(path, header)
    dim = header["dim"]
    count, said = int(dim[0]), []
    if count < 3 and (dim[1:4] > 1).all():
        dim[0] = 3
        said.append(f"the header says {count}D and names three sizes; read as 3D")
    if (dim[4 : count + 1] < 1).any():
        said.append(f"the header names the size {dim[1 : count + 1].tolist()}; sizes below 1 are 1")
        dim[4 : count + 1] = np.maximum(dim[4 : count + 1], 1)
    return said


def _mend_position(header: nib.Nifti1Header) -> list[str]:
    """Put right codes that nobody knows and a handedness other than 1 and -1."""
    said = []
    for name in ("sform_code", "qform_code"):
        code = int(header[name])
        if not 0 <= code <= _LARGEST_KNOWN_CODE:
            header[name] = _ALIGNED if code > 0 else 0
            meaning = "its matrix counts all the same" if code > 0 else "taken for 0, not set"
            said.append(f"{name} {code} is no known code; {meaning}")
    handedness = float(header["pixdim"][0])
    if handedness < 0 and handedness != -1:
        header["pixdim"][0] = -1
        if int(header["qform_code"]) > 0:
            said.append(f"the handedness of the qform is {handedness:g}; taken for -1")
    return said


def _scaling(header: nib.Nifti1Header) -> tuple[float, float, list[str]]:
    """Return slope and intercept; what is not finite, and a slope of 0, means 'not scaled'."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        ignored = math.isfinite(intercept) and intercept != 0
        if ignored or math.isinf(slope):
            return 1.0, 0.0, [f"the scaling {slope:g} * voxel + {intercept:g} was ignored"]
        return 1.0, 0.0, []
    if not math.isfinite(intercept):
        return slope, 0.0, [f"the intercept of the scaling is {intercept:g}; taken for 0"]
    return slope, intercept, []
