"""Scan files, read without trusting them: NIfTI in one file or two, Analyze 7.5, FreeSurfer.

The header is parsed first and the size that it promises is held against the file, so a damaged or
hostile file is refused before memory is asked for, and never more is read than was promised.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from anatomaly.endings import FREESURFER_ENDINGS, HEADER_ENDINGS, VOXELS_ENDINGS, has_ending
from anatomaly.errors import ScanError
from anatomaly.scan.beside import header_of, voxels_of
from anatomaly.scan.nifti_header import ParsedHeader, parse_nifti_header
from anatomaly.scan.other_formats import parse_analyze_header, read_freesurfer
from anatomaly.scan.stored_image import StoredImage, checked_shape, shape_warnings, undo_wraparound
from anatomaly.scan.stream import Stream, check_promise, open_stream, read_exactly, read_up_to

_HEADER_BYTES = 540
_FLAG_BYTES = 4
_EXTENSION = b"\1\0\0\0"


Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def read_nifti(path: Path) -> StoredImage:
    """Read a scan file with any of `SCAN_ENDINGS`; of a pair either half may be named.

    Args:
        path: the file; whether it is compressed is seen from its content, not from its name.

    Returns:
        One 3D image, voxels as stored.

    Raises:
        ScanError: not such a file, truncated or damaged, larger than its file can hold, not one
            3D image, or of a voxel type that is not a grey value.
        GeometryError: it names no voxel sizes and no position.
    """
    path, image = header_of(path), None
    with open_stream(path) as stream:
        if has_ending(path.name, FREESURFER_ENDINGS):
            image = read_freesurfer(path, stream)
        else:
            parsed = _parse(path, stream.file.read(_HEADER_BYTES))
            if parsed.holds_voxels:
                image = _read_voxels(path, stream, parsed)
    if image is None:
        image = _read_other_half(path, parsed)
    return undo_wraparound(image.with_warnings(*stream.warnings))


def _parse(path: Path, block: bytes) -> ParsedHeader:
    """Parse what a file begins with; only a `.hdr` may go without voxels."""
    may_be_half = has_ending(path.name, HEADER_ENDINGS)
    nifti = parse_nifti_header(path, block)
    if nifti is not None and (nifti.holds_voxels or may_be_half):
        return nifti
    analyze = parse_analyze_header(path, block) if nifti is None and may_be_half else None
    if analyze is not None:
        return analyze
    if has_ending(path.name, VOXELS_ENDINGS):
        raise ScanError(
            f"{path}: the header that belongs to it (the same name with .hdr) is missing; put both "
            "files into one folder"
        )
    raise ScanError(
        f"{path}: not a NIfTI file (it begins with {block[:12]!r}); if it was renamed, give "
        "the original, or convert the scan from DICOM with dcm2niix"
    )


def _read_other_half(path: Path, parsed: ParsedHeader) -> StoredImage:
    """Read the voxels that belong to a header."""
    beside = voxels_of(path)
    if beside is None:
        raise ScanError(
            f"{path}: the voxels that belong to it (the same name with .img) are missing; put both "
            "files into one folder"
        )
    with open_stream(beside) as stream:
        image = _read_voxels(beside, stream, parsed)
    return image.with_warnings(*stream.warnings)


def _read_voxels(path: Path, stream: Stream, parsed: ParsedHeader) -> StoredImage:
    """Read the voxels of a stream, wherever its header should have said that they begin."""
    raw, begin = _read_raw(path, stream, parsed)
    _refuse_other_width(path, stream, parsed, raw.size)
    warnings = parsed.warnings + shape_warnings(parsed.shape)
    if begin != parsed.offset:
        warnings += (
            f"the header says that the voxels begin at byte {parsed.said_offset:g}, which the "
            f"format does not allow; by the length of the file they begin at byte {begin}",
        )
    size = checked_shape(path, parsed.shape)
    if len(parsed.shape) > 3:
        parsed.header.set_data_shape(size)
    return StoredImage(
        header=parsed.header,
        voxels=raw.view(parsed.dtype).reshape(size, order="F"),
        slope=parsed.slope,
        intercept=parsed.intercept,
        file_type=parsed.file_type,
        warnings=warnings,
    )


def _read_raw(path: Path, stream: Stream, parsed: ParsedHeader) -> tuple[Bytes, int]:
    """Return the bytes of the voxels, and where they begin.

    Where the offset may be wrong, the length of the file tells. A single file has four bytes (is
    there an extension?) between header and voxels; some writers leave them out. A pair has what
    its header says in front of the voxels, or nothing.
    """
    is_placed = parsed.holds_voxels and parsed.offset is not None
    start, skipped = 0, parsed.offset or 0
    if is_placed:
        start, skipped = skipped, 0
    elif parsed.holds_voxels:
        start, skipped = int(parsed.header.single_vox_offset) - _FLAG_BYTES, _FLAG_BYTES
    promised = check_promise(path, parsed.shape, parsed.dtype.itemsize, start, stream.capacity)
    checked_shape(path, parsed.shape)
    stream.file.seek(start)
    if is_placed:
        return read_exactly(stream.file, promised), start
    raw = read_up_to(stream.file, skipped + promised)
    if raw.size == promised:
        return raw, start
    if raw.size < promised + skipped:
        raise EOFError(f"{raw.size:,} of {promised:,} bytes are there")
    if parsed.holds_voxels:
        if parsed.said_offset == start and stream.file.read(1):  # its length tells nothing
            return raw[:promised], start
        if raw[:_FLAG_BYTES].tobytes() == _EXTENSION:
            raise ScanError(
                f"{path}: the header says that the voxels begin at byte {parsed.said_offset:g}, "
                "but an extension lies there; convert the scan again"
            )
    return raw[skipped:], start + skipped


def _refuse_other_width(path: Path, stream: Stream, parsed: ParsedHeader, taken: int) -> None:
    """Refuse voxels whose type is a lie: the file is as long as the bits of the header ask for."""
    width = parsed.dtype.itemsize * 8
    if parsed.bits <= width:
        return
    more = taken // width * (parsed.bits - width)
    if read_up_to(stream.file, more + 1).size == more:
        raise ScanError(
            f"{path}: the header says {parsed.dtype.name} and {parsed.bits} bits a voxel, and the "
            "file is as long as the latter asks for; the type is wrong, convert the scan again"
        )
