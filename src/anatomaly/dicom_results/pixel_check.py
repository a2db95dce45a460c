"""Whether each slice of a scan holds the pixels of the image that it was paired with."""

from __future__ import annotations

from anatomaly.dicom_results.source import SourceFrames
from anatomaly.errors import DicomError
from anatomaly.scan.frame_pixels import UndecodableError, agree, frame_pixels, least_correlation
from anatomaly.volume import Scan


def check_pixels(source: SourceFrames, scan: Scan) -> None:
    """Refuse a scan whose slices are not the images that lie where they lie.

    Reading a folder compares them too and puts slices right (`anatomaly.scan.checked_series`); this
    is for folders that changed since, and for scans that somebody made himself. Images that pydicom
    cannot unpack (a codec that is not installed) are not compared.

    Raises:
        DicomError: a slice differs.
    """
    slices = source.stack(scan.volume.data)
    place = {id(frame): number for number, frame in enumerate(source.frames)}
    try:
        for frame, pixels in frame_pixels(source.frames):
            if not agree(pixels, slices[place[id(frame)]], least_correlation(frame)):
                raise DicomError(
                    f"{scan.source}: a slice of the scan does not hold the pixels of the image "
                    f"that lies there ({frame.image.SOPInstanceUID}), so results cannot refer to "
                    "it: read the folder again, and give the scan as it was read"
                )
    except UndecodableError:
        return
