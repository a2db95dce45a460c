"""Pictures for viewers that show neither segmentations nor maps: scan, map in colour, outline.

Secondary Capture images (PS3.3 A.8.1), one a slice, in the patient, the study and the frame of
reference of the scan, each where its slice lies. What they are for is burnt in below the picture,
where it hides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from highdicom import UID
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DS
from scipy import ndimage

from anatomaly.dicom_results.description import NAME, RESEARCH_ONLY, Description
from anatomaly.dicom_results.source import SourceFrames
from anatomaly.report.drawing import grey_window, import_matplotlib
from anatomaly.report.overview import CONTOUR, score_colours, score_top
from anatomaly.scan.frames import Frame
from anatomaly.types import FloatArray
from anatomaly.volume import Volume

UInt8 = NDArray[np.uint8]

LEAST_PIXELS = 256
"""Of the shorter side: smaller slices are enlarged by a whole number, so that words can be read."""

BURNT_IN = "RESEARCH ONLY - NOT FOR DIAGNOSTIC USE"
LARGEST_LETTERS = 16
_AXES = ("LR", "PA", "HF")
"""Letters of patient axes in DICOM's order and sign: x grows to the left, y to the back."""


def make_overlay_images(
    source: SourceFrames,
    scan: Volume,
    anomaly_map: Volume,
    anomaly_mask: Volume,
    description: Description,
) -> Iterator[SCImage]:
    """Yield an image for each slice that holds scored brain; for each slice where none does.

    Args:
        source: the instances.
        scan: (I, J, K), scanner units.
        anomaly_map: (I, J, K) score in [0, 1]; same grid.
        anomaly_mask: (I, J, K), above zero where abnormal; same grid.
        description: what made it.
    """
    grey, score, mask = (source.stack(v.data) for v in (scan, anomaly_map, anomaly_mask))
    scored = (score > 0) | (mask > 0)
    low, high = grey_window(grey[scored] if scored.any() else grey)
    grey = np.clip((grey - low) / (high - low), 0, 1)
    threshold = float(description.parameters["threshold"])
    top = score_top(score, threshold)
    colours = score_colours(threshold, top)
    shown = [k for k in range(len(grey)) if scored[k].any()] or range(len(grey))
    common = description.common(source.images[0], "SC", "overlay")
    for number, k in enumerate(shown, start=1):
        rgba: Any = colours(np.minimum(score[k] / top, 1.0))
        opacity = rgba[..., 3:]
        rgb = grey[k][..., None] * (1 - opacity) + rgba[..., :3] * opacity
        frame = source.frames[k]
        factor = -(-LEAST_PIXELS // min(frame.size))
        picture = _enlarge(np.rint(255 * rgb).astype(np.uint8), factor)
        _outline(picture, _enlarge(mask[k] > 0, factor))
        picture = np.concatenate([picture, _words(picture.shape[1], description)])
        yield _image(picture, frame, factor, common | {"instance_number": number})


def _enlarge(picture: np.ndarray[Any, Any], factor: int) -> Any:
    """Repeat rows and columns."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _outline(picture: UInt8, inside: NDArray[np.bool_]) -> None:
    """Draw the border of a mask, outside it, so that what lies in it stays in sight."""
    border = ndimage.binary_dilation(inside) & ~inside
    picture[border] = [int(CONTOUR[i : i + 2], 16) for i in (1, 3, 5)]


def _words(width: int, description: Description) -> UInt8:
    """Return the strip below the picture: what it is for, and what made it."""
    from PIL import Image, ImageDraw, ImageFont

    import_matplotlib()
    from matplotlib import get_data_path

    made_by = f"{NAME} {description.version}, outline: mask"
    made_by += " corrected by hand" if description.is_by_hand else ""
    file = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    lines = (BURNT_IN, made_by)
    for size in range(LARGEST_LETTERS, 5, -1):
        font = ImageFont.truetype(str(file), size)
        if max(font.getlength(line) for line in lines) <= width - 6:
            break
    strip = Image.new("RGB", (width, 2 * size + 12))
    draw = ImageDraw.Draw(strip)
    for row, (line, colour) in enumerate(zip(lines, ("#ffb347", "#c8c8c8"), strict=True)):
        draw.text((3, 3 + row * (size + 3)), line, fill=colour, font=font)
    return np.asarray(strip)


def _image(picture: UInt8, frame: Frame, factor: int, common: dict[str, Any]) -> SCImage:
    """Return one image, where its slice lies."""
    spacing: Any = tuple(mm / factor for mm in frame.spacing_mm[::-1])  # between rows first
    source = frame.image
    image = SCImage.from_ref_dataset(
        ref_dataset=source,
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=(_letter(frame.row_axis), _letter(frame.column_axis)),
        pixel_spacing=spacing,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set=source.get("SpecificCharacterSet"),
        **(common | {"sop_instance_uid": UID()}),
    )
    back = (1 - factor) / (2 * factor)  # to the centre of the first of the smaller pixels
    first = frame.position_mm + back * (
        frame.spacing_mm[0] * frame.row_axis + frame.spacing_mm[1] * frame.column_axis
    )
    axes = (*frame.row_axis, *frame.column_axis)
    image.ImagePositionPatient = [DS(float(mm), auto_format=True) for mm in first]
    image.ImageOrientationPatient = [DS(float(part), auto_format=True) for part in axes]
    image.FrameOfReferenceUID = source.FrameOfReferenceUID
    image.PositionReferenceIndicator = source.get("PositionReferenceIndicator", "")
    image.SourceImageSequence = [_reference(frame)]
    image.DerivationDescription = f"{RESEARCH_ONLY}. Scan with anomaly map and outline of the mask"
    image.ImageComments = BURNT_IN
    image.BurnedInAnnotation = "NO"  # nothing in it says who the patient is
    image.BodyPartExamined = "BRAIN"
    return image


def _letter(axis: FloatArray) -> str:
    """Return the letter of the patient axis that a direction (LPS) is closest to."""
    largest = int(np.abs(axis).argmax())
    return _AXES[largest][int(axis[largest] < 0)]


def _reference(frame: Frame) -> Dataset:
    """Return which image a picture was made of."""
    said = Dataset()
    said.ReferencedSOPClassUID = frame.image.SOPClassUID
    said.ReferencedSOPInstanceUID = frame.image.SOPInstanceUID
    if "NumberOfFrames" in frame.image:
        said.ReferencedFrameNumber = frame.index + 1
    return said
