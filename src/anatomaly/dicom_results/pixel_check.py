"""Whether each slice of a scan holds the pixels of the image that it was paired with."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

from anatomaly.dicom_results.source import SourceFrames
from anatomaly.errors import DicomError
from anatomaly.volume import Scan

MIN_CORRELATION = 0.999_999
"""A conversion scales and shifts, so slice and image correlate with 1 up to rounding; neighbouring
slices of 1 mm heads reach .99."""


def check_pixels(source: SourceFrames, scan: Scan) -> None:
    """Refuse a scan whose slices are not the images that lie where they lie.

    Positions alone cannot see it: of some manufacturers, dcm2niix leaves the frames of an enhanced
    instance in the order of the file and gives them the places of sorted ones.
    Images that pydicom cannot unpack (a codec that is not installed) are not compared.

    Raises:
        DicomError: a slice differs.
    """
    from pydicom.pixels.utils import iter_pixels

    slices = iter(source.stack(scan.volume.data))
    for image in source.images:
        owns = list(islice(slices, int(image.get("NumberOfFrames") or 1)))
        try:
            for pixels, own in zip(iter_pixels(image.filename), owns, strict=False):
                if not _agree(pixels, own):
                    raise DicomError(
                        f"{scan.source}: a slice of the converted scan does not hold the pixels of "
                        f"the image that lies there ({image.SOPInstanceUID}): the conversion put "
                        "slices in a wrong order, so do not trust the other results either; export "
                        "the series with its slices in order of position, or as classic DICOM"
                    )
        except (AttributeError, NotImplementedError, RuntimeError, ValueError):
            continue


def _agree(pixels: np.ndarray[Any, Any], own: np.ndarray[Any, Any]) -> bool:
    """Return whether two slices are the same up to scale and shift."""
    if pixels.shape != own.shape or np.ptp(pixels) == 0 or np.ptp(own) == 0:
        return pixels.shape == own.shape and bool(np.ptp(pixels) == np.ptp(own))
    correlation = np.corrcoef(pixels.ravel().astype(np.float64), own.ravel().astype(np.float64))
    return bool(abs(correlation[0, 1]) > MIN_CORRELATION)
