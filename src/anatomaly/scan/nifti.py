"""NIfTI and MGZ files, read without trusting them.

The header is parsed first and the size that it promises is held against the file, so a damaged or
hostile file is refused before memory is asked for, and never more is read than was promised.
"""

from __future__ import annotations

import gzip
import io
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import HeaderDataError

from anatomaly.errors import GeometryError, ScanError

MAX_VOXELS = 500_000_000
"""Largest image that is read (2 GB as float32); a head at 0.4 mm has a third of it."""

_GZIP_RATIO = 1032
"""No gzip stream unpacks to more than this many times its size."""
_MAX_VOXEL_OFFSET = 64 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_READ_ERRORS = (OSError, EOFError, zlib.error, HeaderDataError, ValueError)

_quiet = logging.getLogger("anatomaly.nifti_header")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


@dataclass(frozen=True)
class StoredImage:
    """What a file holds, before anything is interpreted.

    Attributes:
        header: NIfTI header of a 3D image (for MGZ one that was made from it).
        voxels: (I, J, K), as stored; intensity = slope * voxel + intercept.
        slope: 1 where the file names none.
        intercept: 0 where the file names none.
        file_type: `NIfTI-1`, `NIfTI-2` or `MGH`.
        warnings: what was put right while reading.
    """

    header: nib.Nifti1Header
    voxels: np.ndarray[Any, Any]
    slope: float = 1.0
    intercept: float = 0.0
    file_type: str = "NIfTI-1"
    warnings: tuple[str, ...] = ()


def read_nifti(path: Path) -> StoredImage:
    """Read a `.nii`, `.nii.gz` or `.mgz` file.

    Args:
        path: the file; whether it is compressed is seen from its content, not from its name.

    Returns:
        One 3D image, voxels as stored.

    Raises:
        ScanError: not such a file, truncated or damaged, larger than its file can hold, not one
            3D image, or of a voxel type that is not a grey value.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as raw:
            start = raw.read(2)
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if size == 0:
        raise ScanError(f"{path}: the file is empty (0 bytes); copy it again from its source")
    compressed = start == _GZIP_MAGIC
    with _open(path, compressed) as file:
        read = _read_mgh if path.name.lower().endswith(".mgz") else _read_nifti
        image = read(path, file, size * _GZIP_RATIO if compressed else size)
    if compressed == path.name.lower().endswith(".nii"):
        said = "is gzip-compressed" if compressed else "is not compressed"
        return _with_warning(image, f"the file {said}, unlike its name; it was read all the same")
    return image


def checked_shape(path: Path | str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the three spatial sizes, or refuse what is not one 3D image.

    Raises:
        ScanError: fewer than three axes, more than one volume, one slice, or far too large.
    """
    if not shape or any(n < 1 for n in shape):
        raise ScanError(f"{path}: the header names an impossible size {shape}; convert it again")
    if len(shape) < 3 or min(shape[:3]) < 2:
        raise ScanError(
            f"{path}: a single slice (size {_times(shape)}); give the whole 3D series, "
            "for example its DICOM folder"
        )
    volumes = int(np.prod([int(n) for n in shape[3:]], dtype=object)) if shape[3:] else 1
    if volumes > 1:
        raise ScanError(
            f"{path}: a series of {volumes} volumes (size {_times(shape)}), expected one 3D image; "
            "pick a volume and give that file, for example the first one with Python: "
            "nibabel.load(path).slicer[..., 0].to_filename('volume.nii.gz')"
        )
    i, j, k = (int(n) for n in shape[:3])
    if i * j * k > MAX_VOXELS:
        raise ScanError(
            f"{path}: {_times((i, j, k))} = {i * j * k:,} voxels, the limit is {MAX_VOXELS:,}; "
            "the header is damaged, or resample the scan to about 1 mm"
        )
    return i, j, k


def check_voxel_type(path: Path | str, dtype: np.dtype[Any]) -> None:
    """Refuse voxels that are not one real number.

    Raises:
        ScanError: colour (RGB, RGBA) or complex voxels.
    """
    if dtype.fields is not None:
        raise ScanError(
            f"{path}: a colour image ({''.join(dtype.names or ())}); give the grey-value MR image, "
            "not a screenshot or an overlay"
        )
    if dtype.kind == "c":
        raise ScanError(
            f"{path}: complex voxels ({dtype}); give the magnitude image, for example "
            "numpy.abs of the data"
        )
    if dtype.kind not in "biuf":
        raise ScanError(f"{path}: voxels of type {dtype}, expected integer or floating grey values")


def single_volume_warning(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the warning for a 4D image that holds one volume, if it is one."""
    if len(shape) == 3:
        return ()
    return (f"the image is {len(shape)}D with a single volume ({_times(shape)}); read as 3D",)


@contextmanager
def _open(path: Path, compressed: bool) -> Iterator[io.BufferedIOBase]:
    """Open the (unpacked) stream; whatever breaks while it is read becomes a `ScanError`."""
    try:
        with path.open("rb") as raw:
            if not compressed:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
                yield unpacked
                unpacked.read(1 << 16)  # reaches the checksum where the promised data end
    except MemoryError as error:
        raise ScanError(
            f"{path}: the image does not fit in memory; resample it to about 1 mm or use a larger "
            "machine"
        ) from error
    except _READ_ERRORS as error:
        said = str(error) or type(error).__name__
        raise ScanError(
            f"{path}: the file is truncated or damaged ({said}); copy or convert it again"
        ) from error


def _read_nifti(path: Path, file: io.BufferedIOBase, capacity: int) -> StoredImage:
    """Read a NIfTI-1 or NIfTI-2 stream that can hold at most `capacity` bytes."""
    header = _nifti_header(path, file)
    shape = tuple(int(n) for n in header.get_data_shape())
    dtype = header.get_data_dtype()
    check_voxel_type(path, dtype)
    _check_promise(path, shape, dtype.itemsize, int(header["vox_offset"]), capacity)
    i, j, k = checked_shape(path, shape)
    slope, intercept = header.get_slope_inter()
    file.seek(int(header["vox_offset"]))
    voxels = np.asarray(_voxels(file, shape, dtype)).reshape((i, j, k), order="F")
    if len(shape) > 3:
        header.set_data_shape((i, j, k))
    return StoredImage(
        header=header,
        voxels=voxels,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        file_type="NIfTI-2" if isinstance(header, nib.Nifti2Header) else "NIfTI-1",
        warnings=single_volume_warning(shape),
    )


def _nifti_header(path: Path, file: io.BufferedIOBase) -> nib.Nifti1Header:
    """Parse the header block alone; small defects are put right, others refused."""
    block = file.read(540)
    kind: Any
    sizes = {int.from_bytes(block[:4], order) for order in ("little", "big")}
    if len(block) >= 348 and 348 in sizes and block[344:347] == b"n+1":
        kind, length = nib.Nifti1Header, 348
    elif len(block) >= 540 and 540 in sizes and block[4:7] == b"n+2":
        kind, length = nib.Nifti2Header, 540
    else:
        raise ScanError(
            f"{path}: not a NIfTI file (it begins with {block[:12]!r}); if it was renamed, give "
            "the original, or convert the scan from DICOM with dcm2niix"
        )
    try:
        header: nib.Nifti1Header = kind(block[:length], check=False)
        if (header["dim"][1:4] < 0).any() or not 1 <= int(header["dim"][0]) <= 7:
            raise ScanError(
                f"{path}: the header names an impossible size {header['dim'].tolist()}; "
                "convert the scan again"
            )
        if int(header["sform_code"]) == 0 and not (np.abs(header["pixdim"][1:4]) > 0).all():
            raise GeometryError(
                f"{path}: the header names voxel sizes {header['pixdim'][1:4].tolist()} and no "
                "sform; it holds no usable position, convert the scan again from DICOM"
            )
        header.check_fix(logger=_quiet, error_level=40)
    except (HeaderDataError, KeyError) as error:
        raise ScanError(
            f"{path}: the NIfTI header is damaged ({error}); convert the scan again"
        ) from error
    return header


def _read_mgh(path: Path, file: io.BufferedIOBase, capacity: int) -> StoredImage:
    """Read a FreeSurfer stream; its grid goes into a NIfTI header for the results."""
    block = file.read(284)
    fields = np.frombuffer(block[:28].ljust(28, b"\0"), dtype=">i4")
    version, dims, code = int(fields[0]), [int(n) for n in fields[1:5]], int(fields[5])
    sizes = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
    if len(block) < 284 or version != 1 or code not in sizes:
        raise ScanError(
            f"{path}: not a FreeSurfer .mgz file (it begins with {block[:12]!r}); if it was "
            "renamed, give the original"
        )
    dtype = np.dtype(sizes[code])
    shape = tuple(dims if dims[3] > 1 else dims[:3])
    if min(dims) >= 0:
        _check_promise(path, tuple(dims), dtype.itemsize, 284, capacity)
    i, j, k = checked_shape(path, shape)
    mgh = MGHHeader(block, check=False)
    known = block[28:30] != b"\0\0"  # the flag goodRASFlag, which nibabel sets to 1
    voxels = _voxels(file, (i, j, k), dtype)
    header = nib.Nifti1Header()
    header.set_data_shape((i, j, k))
    header.set_xyzt_units("mm", "sec")
    warnings: tuple[str, ...] = ()
    with np.errstate(all="ignore"):
        affine = mgh.get_affine()
        header.set_sform(affine, code="scanner")
        header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    if not known:
        warnings = (
            "the .mgz file says that its position is unknown; a default orientation is used, left "
            "and right may be wrong",
        )
    return StoredImage(header, voxels, file_type="MGH", warnings=warnings)


def _check_promise(
    path: Path, shape: tuple[int, ...], itemsize: int, offset: int, capacity: int
) -> None:
    """Refuse a header that promises more bytes than its file can hold."""
    promised = itemsize
    for n in shape:
        promised *= max(int(n), 1)
    if not 0 <= offset <= _MAX_VOXEL_OFFSET:
        raise ScanError(
            f"{path}: the header says that the voxels begin at byte {offset:,}; it is damaged, "
            "convert the scan again"
        )
    if offset + promised > capacity:
        raise ScanError(
            f"{path}: truncated or with a damaged header: size {_times(shape)} needs "
            f"{_bytes(promised)}, the file can hold at most {_bytes(max(capacity - offset, 0))}; "
            "copy or convert it again"
        )


def _voxels(
    file: io.BufferedIOBase, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray[Any, Any]:
    """Read exactly the promised voxels (first axis fastest) from the stream's position."""
    wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    buffer = bytearray(wanted)
    view, done = memoryview(buffer), 0
    while done < wanted:
        step = file.readinto(view[done : done + (1 << 24)])
        if not step:
            raise EOFError(f"{_bytes(done)} of {_bytes(wanted)} are there")
        done += step
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order="F")


def _with_warning(image: StoredImage, warning: str) -> StoredImage:
    """Return the image with one more warning."""
    return StoredImage(
        image.header,
        image.voxels,
        image.slope,
        image.intercept,
        image.file_type,
        (*image.warnings, warning),
    )


def _times(shape: tuple[int, ...]) -> str:
    """Write a size as people do: 256 x 256 x 26."""
    return " x ".join(str(n) for n in shape)


def _bytes(count: int) -> str:
    """Write a number of bytes with a unit."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"
