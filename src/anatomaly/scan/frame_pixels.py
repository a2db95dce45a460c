"""The stored pixels of frames, and whether a converted volume holds them where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from anatomaly.scan.frames import Frame, StackedGrid, lies_as
from anatomaly.scan.instances import UNREADABLE, quiet

MIN_CORRELATION = 0.999_999
"""A conversion scales and shifts, so slice and image correlate with 1 up to rounding; neighbouring
slices of 1 mm heads reach .99."""
MIN_CORRELATION_LOSSY = 0.999
"""Of images packed with loss two decoders differ by a step or two."""
_LOSSY = {
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203",
}  # fmt: skip
"""Transfer syntaxes: JPEG baseline and extended, JPEG-LS and JPEG 2000 with loss, HTJ2K."""
_MAX_AWAY = 0.2
_MAX_AWAY_MM = 0.5
"""A frame belongs to the slice that lies within this share of the distance between slices: scanners
round positions, and less than half a slice cannot be another slice."""

_DEFLATED = "1.2.840.10008.1.2.1.99"

Pixels = np.ndarray[Any, Any]


class Verdict(Enum):
    """What a comparison of pixels found."""

    SAME = "same"
    OTHER = "other"
    UNKNOWN = "unknown"


class UndecodableError(Exception):
    """Pixels cannot be unpacked: a codec that is not installed, or a damaged file."""


def frame_pixels(frames: Sequence[Frame]) -> Iterator[tuple[Frame, Pixels]]:
    """Yield each frame with its stored pixels, (rows, columns), file by file.

    Raises:
        UndecodableError: the pixels of a frame cannot be unpacked, or have several samples.
    """
    from pydicom.pixels.utils import iter_pixels

    by_file: dict[str, list[Frame]] = {}
    for frame in frames:
        by_file.setdefault(str(frame.image.filename), []).append(frame)
    for owns in by_file.values():
        wanted = sorted(owns, key=lambda frame: frame.index)
        alone = wanted[0].image.get("NumberOfFrames") in (None, "", 1)
        indices = None if alone else [frame.index for frame in wanted]
        try:
            with quiet():
                unpacked = list(iter_pixels(_pixel_source(wanted[0]), indices=indices))
        except UNREADABLE as error:
            raise UndecodableError(" ".join(str(error).split()).split(":")[0]) from error
        if len(unpacked) != len(wanted) or unpacked[0].ndim != 2:
            raise UndecodableError(f"{len(unpacked)} frames of shape {unpacked[0].shape}")
        yield from zip(wanted, unpacked, strict=True)


def _pixel_source(frame: Frame) -> Any:
    """Return what pydicom unpacks a frame from: its file, or the whole content read before.

    Deflated files are unpacked as a whole; files without preamble do not name their encoding.
    """
    from pydicom import dcmread
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    path = str(frame.image.filename)
    syntax = frame.image.file_meta.get("TransferSyntaxUID")
    if syntax and syntax != _DEFLATED:
        return Path(path)
    whole = dcmread(path, force=True)
    if not syntax:
        kinds = ExplicitVRLittleEndian, ImplicitVRLittleEndian
        whole.file_meta.TransferSyntaxUID = kinds[bool(whole.original_encoding[0])]
    return whole


def compare_pixels(data: Pixels, grid: StackedGrid, frames: Sequence[Frame]) -> Verdict:
    """Return whether each slice of a volume holds the pixels of a frame that lies there.

    Where several frames lie at one place (echoes, phase), one of them is enough. Images of which
    none is as large as the slices cannot be compared (mosaics).

    Args:
        data: (I, J, K) as converted.
        grid: of that volume, turned as the frames lie.
        frames: of the series, parallel.
    """
    alike = [frame for frame in frames if lies_as(frame, grid)]
    if not alike:
        as_large = any(frame.size == grid.shape[:2] for frame in frames)
        return Verdict.OTHER if as_large else Verdict.UNKNOWN
    step_mm = float(np.linalg.norm(grid.affine[:3, 2]))
    limit_mm = min(_MAX_AWAY * step_mm, _MAX_AWAY_MM)
    slices = grid.turn(data)
    open_slices = set(range(len(slices)))
    nearest = ((frame, grid.slice_of(frame)) for frame in alike)
    placed = [f for f, k in nearest if k in open_slices and grid.away_mm(f, k) <= limit_mm]
    try:
        for frame, pixels in frame_pixels(placed):
            k = grid.slice_of(frame)
            if k in open_slices and agree(pixels, slices[k], least_correlation(frame)):
                open_slices.remove(k)
    except UndecodableError:
        return Verdict.UNKNOWN
    return Verdict.OTHER if open_slices else Verdict.SAME


def least_correlation(frame: Frame) -> float:
    """Return with what a slice must correlate to be a frame: less where packing loses something."""
    syntax = str(frame.image.file_meta.get("TransferSyntaxUID"))
    return MIN_CORRELATION_LOSSY if syntax in _LOSSY else MIN_CORRELATION


def agree(pixels: Pixels, own: Pixels, least: float = MIN_CORRELATION) -> bool:
    """Return whether two slices are the same up to scale and shift."""
    if pixels.shape != own.shape:
        return False
    if np.array_equal(pixels, own):
        return True
    if np.ptp(pixels) == 0 or np.ptp(own) == 0:
        return bool(np.ptp(pixels) == np.ptp(own))
    correlation = np.corrcoef(pixels.ravel().astype(np.float64), own.ravel().astype(np.float64))
    return bool(abs(correlation[0, 1]) > least)
