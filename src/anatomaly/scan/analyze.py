"""Analyze 7.5 headers, read as SPM and nibabel do: the first voxel of a row lies on the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.fileholders import FileHolder
from nibabel.spatialimages import HeaderDataError

from anatomaly.endings import without_ending
from anatomaly.errors import GeometryError, ScanError
from anatomaly.scan.beside import voxels_of
from anatomaly.scan.nifti_header import (
    ParsedHeader,
    header_sizes,
    quiet,
    refuse_impossible_sizes,
    usable_offset,
    width_warnings,
)
from anatomaly.scan.stored_image import check_voxel_type, header_on_grid
from anatomaly.types import FloatArray

_HEADER_BYTES = 348
_MAX_MATRIX_BYTES = 1_000_000
_MATRIX_ERRORS = (
    OSError, ValueError, KeyError, TypeError, IndexError, NotImplementedError, HeaderDataError,
    ImageFileError,
)  # fmt: skip


def parse_analyze_header(path: Path, block: bytes) -> ParsedHeader | None:
    """Parse the header of an Analyze pair; None where it is none.

    Raises:
        ScanError: a damaged header, or voxels that are no grey values.
        GeometryError: no voxel sizes.
    """
    if len(block) < _HEADER_BYTES or _HEADER_BYTES not in header_sizes(block):
        return None
    header = nib.Spm2AnalyzeHeader(block[:_HEADER_BYTES], check=False)
    said, bits = float(header["vox_offset"]), int(header["bitpix"])
    refuse_impossible_sizes(path, header)
    sides = header["pixdim"][1:4]
    if not (np.isfinite(sides) & (sides != 0)).all():
        raise GeometryError(
            f"{path}: the header names voxel sizes {sides.tolist()}; convert the scan again "
            "from DICOM"
        )
    try:
        header["vox_offset"] = 0
        header.check_fix(logger=quiet, error_level=40)
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise ScanError(
            f"{path}: the Analyze header is damaged ({error}); convert the scan again"
        ) from error
    check_voxel_type(path, dtype)
    shape = tuple(int(n) for n in header.get_data_shape())
    affine, warnings = _affine(path, header)
    slope, intercept = header.get_slope_inter()
    return ParsedHeader(
        header=header_on_grid(shape, affine, code="aligned"),
        shape=shape,
        dtype=dtype,
        file_type="Analyze",
        holds_voxels=False,
        said_offset=said,
        offset=usable_offset(path, said, 0),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        bits=bits,
        warnings=(*warnings, *width_warnings(bits, dtype)),
    )


def _affine(path: Path, header: Any) -> tuple[FloatArray, list[str]]:
    """Return the affine that SPM's file beside the pair names, else the format's default."""
    matrix = path.with_name(f"{without_ending(path.name)}.mat")
    said = []
    if matrix.is_file():
        try:
            return _spm_affine(path, matrix), [f"the position comes from SPM's file {matrix.name}"]
        except _MATRIX_ERRORS as error:
            said.append(f"{matrix.name} holds no position that can be read ({error}); not used")
    said.append(
        "the file is in the format Analyze 7.5, which does not say where left and right are; the "
        "first voxel of each row was taken for the patient's right, as SPM does, which may be wrong"
    )
    return np.asarray(header.get_origin_affine(), dtype=np.float64), said


def _spm_affine(path: Path, matrix: Path) -> FloatArray:
    """Return the affine of SPM's `.mat` file, by nibabel, which reads no voxel for it."""
    from scipy.io.matlab import MatReadError

    size = matrix.stat().st_size
    if not 0 < size <= _MAX_MATRIX_BYTES:
        raise ValueError(f"{size:,} bytes")
    files = {"header": path, "image": voxels_of(path) or path, "mat": matrix}
    holders = {name: FileHolder(filename=str(file)) for name, file in files.items()}
    try:
        image = nib.Spm2AnalyzeImage.from_file_map(holders)
    except MatReadError as error:
        raise ValueError(str(error)) from error
    affine = np.asarray(image.affine, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise ValueError("not a 4 x 4 matrix of finite numbers")
    return affine
