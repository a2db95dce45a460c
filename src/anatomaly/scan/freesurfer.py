"""FreeSurfer's `.mgh` and `.mgz`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader

from anatomaly.errors import ScanError
from anatomaly.scan.stored_image import (
    StoredImage,
    checked_shape,
    header_on_grid,
    shape_warnings,
)
from anatomaly.scan.stream import Stream, check_promise, read_exactly

_HEADER_BYTES = 284
_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}


def read_freesurfer(path: Path, stream: Stream) -> StoredImage:
    """Read a FreeSurfer stream; its grid goes into a NIfTI header for the results.

    Raises:
        ScanError: not such a file, larger than its file can hold, or not one 3D image.
    """
    block = stream.file.read(_HEADER_BYTES)
    fields = np.frombuffer(block[:28].ljust(28, b"\0"), dtype=">i4")
    version, dims, code = int(fields[0]), [int(n) for n in fields[1:5]], int(fields[5])
    if len(block) < _HEADER_BYTES or version != 1 or code not in _TYPES:
        raise ScanError(
            f"{path}: not a FreeSurfer .mgz file (it begins with {block[:12]!r}); if it was "
            "renamed, give the original"
        )
    dtype = np.dtype(_TYPES[code])
    shape = tuple(dims if dims[3] > 1 else dims[:3])
    if min(dims) >= 0:
        check_promise(path, tuple(dims), dtype.itemsize, _HEADER_BYTES, stream.capacity)
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
