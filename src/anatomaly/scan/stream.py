"""Files opened without trusting them: packed or not, and never more read than was promised."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import HeaderDataError

from anatomaly.errors import ScanError
from anatomaly.scan.stored_image import times

GZIP_RATIO = 1032
"""No gzip stream unpacks to more than this many times its size."""

_GZIP_MAGIC = b"\x1f\x8b"
_MOST_LAYERS = 3
_OTHER_PACKERS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK": "zip"}
_READ_ERRORS = (OSError, EOFError, zlib.error, HeaderDataError, ValueError)
_CHUNK = 1 << 24


@dataclass
class Stream:
    """An open file, unpacked.

    Attributes:
        file: to read from; it can seek.
        capacity: most bytes that it can hold, judged from the size on the disk.
        warnings: what was odd about the packing; complete after the file was closed.
    """

    file: io.BufferedIOBase
    capacity: int
    warnings: list[str] = field(default_factory=list)


@contextmanager
def readable(path: Path, check: str) -> Iterator[None]:
    """Turn the failure of an attempt to read a file or folder into a `ScanError`.

    Args:
        path: of what is read in the block.
        check: what the message tells the user to check.
    """
    try:
        yield
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror}); check {check}") from error


@contextmanager
def open_stream(path: Path) -> Iterator[Stream]:
    """Open a file that may be packed with gzip, also twice; its content says so, not its name.

    At the end the checksum is read. Whatever breaks in the block becomes a `ScanError`.

    Raises:
        ScanError: the file cannot be read, is empty, truncated, damaged, or packed otherwise.
    """
    with readable(path, "the path"):
        size = path.stat().st_size
        path.open("rb").close()
    if size == 0:
        raise ScanError(f"{path}: the file is empty (0 bytes); copy it again from its source")
    try:
        with ExitStack() as stack:
            raw: Any = stack.enter_context(path.open("rb"))
            layers = [raw]
            while len(layers) <= _MOST_LAYERS and layers[-1].peek(2)[:2] == _GZIP_MAGIC:
                packed = gzip.GzipFile(fileobj=layers[-1], mode="rb")
                layers.append(stack.enter_context(packed))
            packer = other_packer(layers[-1].peek(8)[:8])
            if packer is not None:
                raise ScanError(f"{path}: {packer}")
            depth = len(layers) - 1
            stream = Stream(layers[-1], size * GZIP_RATIO**depth)
            yield stream
            stream.warnings += _packing_warnings(path, depth)
            for packed in reversed(layers[1:]):
                stream.warnings += _read_checksum(packed)
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


def check_promise(
    path: Path, shape: tuple[int, ...], itemsize: int, offset: int, capacity: int
) -> int:
    """Return the bytes that a header promises; refuse more than its file can hold.

    Raises:
        ScanError: the voxels do not fit behind the offset.
    """
    promised = math.prod((itemsize, *(max(int(n), 1) for n in shape)))
    room = max(capacity - offset, 0)
    if promised > room:
        needs, has = _bytes(promised), _bytes(room)
        if needs == has:
            needs, has = f"{promised:,} bytes", f"{room:,}"
        raise ScanError(
            f"{path}: truncated or with a damaged header: size {times(shape)} needs {needs}, the "
            f"file can hold at most {has}; copy or convert it again"
        )
    return promised


def read_up_to(file: io.BufferedIOBase, wanted: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the next bytes of a stream, fewer than wanted only where it ends before."""
    buffer = np.empty(wanted, dtype=np.uint8)  # takes memory only as it is filled
    view, done = buffer.data, 0
    while done < wanted:
        step = file.readinto(view[done : done + _CHUNK])
        if not step:
            break
        done += step
    return buffer[:done]


def read_exactly(file: io.BufferedIOBase, wanted: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the next bytes of a stream.

    Raises:
        EOFError: there are fewer.
    """
    read = read_up_to(file, wanted)
    if read.size < wanted:
        raise EOFError(f"{_bytes(read.size)} of {_bytes(wanted)} are there")
    return read


def other_packer(start: bytes) -> str | None:
    """Say what to do with a file that another program than gzip packed, None for others.

    Args:
        start: first bytes of the file.
    """
    packer = next((name for magic, name in _OTHER_PACKERS.items() if start.startswith(magic)), None)
    if packer is None:
        return None
    return f"packed with {packer}, only gzip is read; unpack it and give what is in it"


def _packing_warnings(path: Path, layers: int) -> list[str]:
    """Say where name and content disagree about compression, or it was done more than once."""
    said = []
    if bool(layers) != path.name.lower().endswith((".gz", ".mgz")):
        kind = "is gzip-compressed" if layers else "is not compressed"
        said.append(f"the file {kind}, unlike its name; it was read all the same")
    if layers > 1:
        said.append(f"the file is gzip-compressed {layers} times over; it was read all the same")
    return said


def _read_checksum(packed: gzip.GzipFile) -> list[str]:
    """Read past the promised data, where the checksum is; what is no gzip there is left alone."""
    try:
        packed.read(1 << 16)
    except gzip.BadGzipFile as error:
        if not str(error).startswith("Not a gzipped file"):  # a checksum or a length
            raise
        return ["other bytes follow the compressed data in the file; they were ignored"]
    return []


def _bytes(count: int) -> str:
    """Write a number of bytes with a unit."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"
