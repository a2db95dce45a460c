"""Formats other than NIfTI: FreeSurfer's `.mgh` and `.mgz`, and headers of Analyze 7.5.

Analyze is read as SPM and nibabel do: the first voxel of a row lies on the right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.fileholders import FileHolder
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import HeaderDataError

from anatomaly.endings import without_ending
from anatomaly.errors import GeometryError, ScanError
from anatomaly.scan.beside import voxels_of
from anatomaly.scan.nifti_header import (
    ParsedHeader,
    checked_type,
    header_sizes,
    refuse_impossible_sizes,
    usable_offset,
    width_warnings,
)
from anatomaly.scan.stored_image import (
    StoredImage,
    checked_shape,
    header_on_grid,
    shape_warnings,
)
from anatomaly.scan.stream import Stream, check_promise, read_exactly
from anatomaly.types import FloatArray

_ANALYZE_BYTES = 348
_MGH_BYTES = 284
_MGH_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
_MAX_MATRIX_BYTES = 1_000_000
_MATRIX_ERRORS = (
    OSError, ValueError, KeyError, TypeError, IndexError, NotImplementedError, HeaderDataError,
    ImageFileError,
)  # fmt: skip


def read_freesurfer(path: Path, stream: Stream) -> StoredImage:
    """Read a FreeSurfer stream; its grid goes into a NIfTI header for the results.

    Raises:
        ScanError: not such a file, larger than its file can hold, or not one 3D image.
    """
    block = stream.file.read(_MGH_BYTES)
    fields = np.frombuffer(block[:28].ljust(28, b"\0"), dtype=">i4")
    version, dims, code = int(fields[0]), [int(n) for n in fields[1:5]], int(fields[5])
    if len(block) < _MGH_BYTES or version != 1 or code not in _MGH_TYPES:
        raise ScanError(
            f"{path}: not a FreeSurfer .mgz file (it begins with {block[:12]!r}); if it was "
            "renamed, give the original"
        )
    dtype = np.dtype(_MGH_TYPES[code])
    shape = tuple(dims if dims[3] > 1 else dims[:3])
    if min(dims) >= 0:
        check_promise(path, tuple(dims), dtype.itemsize, _MGH_BYTES, stream.capacity)
    size = checked_shape(path, shape)
    mgh = MGHHeader(block, check=False)
    known = block[28:30] != b"\0\0"  # the flag goodRASFlag, which nibabel sets to 1
    raw = read_exactly(stream.file, int(np.prod(size, dtype=np.int64)) * dtype.itemsize)
    warnings = shape_warnings(shape)
    with np.errstate(all="ignore"):
        header = header_on_grid(size, mgh.get_affine())
    if not known:
        warnings += (
            "the FreeSurfer file says that its position is unknown; a default orientation is "
            "used, left and right may be wrong",
        )
    voxels = raw.view(dtype).reshape(size, order="F")
    return StoredImage(header, voxels, file_type="MGH", warnings=warnings)


def parse_analyze_header(path: Path, block: bytes) -> ParsedHeader | None:
    """Parse the header of an Analyze pair; None where it is none.

    Raises:
        ScanError: a damaged header, or voxels that are no grey values.
        GeometryError: no voxel sizes.
    """
    if len(block) < _ANALYZE_BYTES or _ANALYZE_BYTES not in header_sizes(block):
        return None
    header = nib.Spm2AnalyzeHeader(block[:_ANALYZE_BYTES], check=False)
    said, bits = float(header["vox_offset"]), int(header["bitpix"])
    refuse_impossible_sizes(path, header)
    sides = header["pixdim"][1:4]
    if not (np.isfinite(sides) & (sides != 0)).all():
        raise GeometryError(
            f"{path}: the header names voxel sizes {sides.tolist()}; convert the scan again "
            "from DICOM"
        )
    header["vox_offset"] = 0
    dtype = checked_type(path, header, "Analyze")
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
