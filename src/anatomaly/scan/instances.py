"""The DICOM images of a folder by their headers: read by pydicom, without pixels."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterable, Mapping, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anatomaly.endings import has_ending

if TYPE_CHECKING:
    from pydicom import Dataset

UNREADABLE = (
    ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError,
    RecursionError, RuntimeError, struct.error, TypeError, ValueError, zlib.error,
)  # fmt: skip
"""What pydicom raises at files and fields that it cannot read."""

_TAGS: list[Any] = [
    "SpecificCharacterSet", "PatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID",
    "StudyDate", "SeriesDate", "AcquisitionDate", "AcquisitionDateTime", "ContentDate",
    "AcquisitionTime",
    "SeriesNumber", "SeriesDescription", "ProtocolName", "Modality", "Manufacturer",
    "ManufacturerModelName", "MagneticFieldStrength", "MRAcquisitionType", "ImageType",
    "SliceThickness", "RepetitionTime", "EchoTime", "InversionTime", "InversionTimes", "FlipAngle",
    "ScanningSequence", "SequenceVariant", "SequenceName", "PulseSequenceName",
    "EchoPlanarPulseSequence", "AngioFlag", "TimeOfFlightContrast", "DiffusionBValue",
    "ContrastBolusAgent", "ComplexImageComponent",
    "AcquisitionNumber", "TemporalPositionIdentifier", "InstanceNumber",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
    "RescaleSlope", "RescaleIntercept", "NumberOfFrames",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    0x0019100C, 0x20011003, 0x00431039,  # b values of Siemens, Philips and GE
]  # fmt: skip
_MAGIC, _MAGIC_PLACE = b"DICM", 128
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
"""How a file without preamble starts: group 2 or 8."""


@dataclass(frozen=True)
class Instance:
    """One DICOM image.

    Attributes:
        path: its file.
        header: patient, study, series, timing and place; no pixels.
    """

    path: Path
    header: Dataset

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID; empty if absent."""
        return text_of(self.header, "SeriesInstanceUID")


def read_instances(files: Iterable[Path]) -> tuple[Instance, ...]:
    """Return the images among the files in their order; others are passed over."""
    read = (read_instance(path) for path in files)
    return tuple(instance for instance in read if instance is not None)


def read_instance(path: Path) -> Instance | None:
    """Return a file's header, or None where it is no DICOM image that pydicom can read."""
    from pydicom import dcmread

    try:
        if _start(path) is None:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values are met by whoever asks for them
            header = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            is_image = bool(header.get("Rows")) and bool(header.get("Columns"))
    except UNREADABLE:
        return None
    return Instance(path, header) if is_image else None


def is_dicom_file(path: Path) -> bool:
    """Return whether a file is DICOM: by its start (PS3.10, 7.1), or an image without preamble.

    What has no preamble is asked for an image only if it starts as one may and its name is not
    that of another format.
    """
    try:
        start = _start(path)
    except OSError:
        return False
    if start is not False:
        return bool(start)
    return not has_ending(path.name) and read_instance(path) is not None


def one_file_a_series(paths: Iterable[Path]) -> list[Path]:
    """Return the paths without DICOM files of a series that an earlier one stands for.

    A file stands for its series in its folder, so `folder/*.dcm` names one series many times.
    """
    kept: list[Path] = []
    met: set[tuple[Path, str]] = set()
    for path in paths:
        named = read_instance(path) if path.is_file() and is_dicom_file(path) else None
        series = (path.absolute().parent, named.series_uid) if named and named.series_uid else None
        if series not in met:
            kept.append(path)
        if series:
            met.add(series)
    return kept


def _start(path: Path) -> bool | None:
    """Return True for a DICOM file, False for what may be one without preamble, else None."""
    with path.open("rb") as file:
        start = file.read(_MAGIC_PLACE + len(_MAGIC))
    if start[_MAGIC_PLACE:] == _MAGIC:
        return True
    return False if start.startswith(_FIRST_GROUPS) else None


def text_of(header: Mapping[Any, Any] | Dataset, name: str) -> str:
    """Return a field as text; empty if it is absent or cannot be read."""
    try:
        value = header.get(name)
    except UNREADABLE:
        return ""
    return "" if value is None else str(value).strip(" \0")


def texts_of(header: Mapping[Any, Any] | Dataset, name: str) -> list[str]:
    """Return a field of one or several values as texts."""
    try:
        value = header.get(name)
    except UNREADABLE:
        return []
    if value is None or value == "":
        return []
    several = isinstance(value, (tuple, MutableSequence))
    return [str(v).strip(" \0") for v in (value if several else [value])]


def number_of(header: Mapping[Any, Any] | Dataset, name: str) -> float | None:
    """Return the first number of a field, or None."""
    for text in texts_of(header, name)[:1]:
        try:
            return float(text)
        except ValueError:
            return None
    return None
