"""The DICOM images of a folder by their headers, read by pydicom without pixels.

What they say of a series goes by the names and units of a BIDS sidecar.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, MutableSequence, Sequence
from contextlib import contextmanager
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

_TEXTS = (
    "SeriesDescription", "ProtocolName", "Modality", "Manufacturer", "MRAcquisitionType",
    "SequenceName", "PulseSequenceName", "SeriesInstanceUID", "ContrastBolusAgent", "AngioFlag",
    "EchoPlanarPulseSequence", "TimeOfFlightContrast", "ManufacturerModelName",
)  # fmt: skip
_OTHER_NAMES = {"ManufacturerModelName": "ManufacturersModelName"}
"""Of fields that a sidecar calls otherwise."""
_NUMBERS = ("MagneticFieldStrength", "SliceThickness", "FlipAngle")
_MILLISECONDS = {
    "RepetitionTime": ("RepetitionTime",),
    "EchoTime": ("EchoTime", "EffectiveEchoTime"),
    "InversionTime": ("InversionTime", "InversionTimes"),
}
_PRIVATE_B_VALUES = {"SIEMENS": 0x0019100C, "PHILIPS": 0x20011003, "GE": 0x00431039}
_GE_MARK = 1_000_000
"""GE adds a multiple of this (a mark of its software) to b values."""
TIMES = tuple(_MILLISECONDS)


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


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back pydicom's warnings of odd values: whoever asks for a value meets it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


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
        with quiet():
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
    chosen: list[Path] = []
    met: set[tuple[Path, str]] = set()
    for path in paths:
        named = read_instance(path) if path.is_file() and is_dicom_file(path) else None
        series = (path.absolute().parent, named.series_uid) if named and named.series_uid else None
        if series not in met:
            chosen.append(path)
        if series:
            met.add(series)
    return chosen


def _start(path: Path) -> bool | None:
    """Return True for a DICOM file, False for what may be one without preamble, else None."""
    with path.open("rb") as file:
        start = file.read(_MAGIC_PLACE + len(_MAGIC))
    if start[_MAGIC_PLACE:] == _MAGIC:
        return True
    return False if start.startswith(_FIRST_GROUPS) else None


def text_of(header: Mapping[Any, Any] | Dataset, name: str) -> str:
    """Return a field as text; empty if it is absent or cannot be read."""
    value = _value_of(header, name)
    return "" if value is None else str(value).strip(" \0")


def texts_of(header: Mapping[Any, Any] | Dataset, name: str) -> list[str]:
    """Return a field of one or several values as texts."""
    value = _value_of(header, name)
    if value is None or value == "":
        return []
    several = isinstance(value, (tuple, MutableSequence))
    return [str(v).strip(" \0") for v in (value if several else [value])]


def _value_of(header: Mapping[Any, Any] | Dataset, name: str) -> Any:
    """Return a field; None if it is absent or cannot be read."""
    try:
        return header.get(name)
    except UNREADABLE:
        return None


def number_of(header: Mapping[Any, Any] | Dataset, name: str) -> float | None:
    """Return the first number of a field, or None."""
    try:
        return float(texts_of(header, name)[0])
    except (IndexError, ValueError):
        return None


def fields_of_series(instances: Sequence[Instance]) -> dict[str, Any]:
    """Describe a series by the header of its first image; empty without images.

    `DiffusionBValue` is the highest of the series (s/mm²).
    """
    if not instances:
        return {}
    layers = _layers(instances[0].header)
    fields: dict[str, Any] = {}
    for name in _TEXTS:
        text = next((t for layer in layers if (t := text_of(layer, name))), "")
        fields[_OTHER_NAMES.get(name, name)] = text
    for name in _NUMBERS:
        fields[name] = next((n for la in layers if (n := number_of(la, name)) is not None), None)
    for name, sources in _MILLISECONDS.items():
        times_ms = (number_of(layer, source) for layer in layers for source in sources)
        fields[name] = next((ms / 1000 for ms in times_ms if ms), None)
    number = number_of(instances[0].header, "SeriesNumber")
    fields["SeriesNumber"] = None if number is None else int(number)
    fields["ImageType"] = texts_of(instances[0].header, "ImageType")
    fields["ScanningSequence"] = "\\".join(texts_of(instances[0].header, "ScanningSequence"))
    fields["DiffusionBValue"] = max((_b_value(i) for i in instances), default=0.0)
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def _layers(header: Any) -> list[Mapping[Any, Any]]:
    """Return the header, and what functional groups of an enhanced image hold."""
    layers: list[Any] = [header]
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        try:
            groups = header.get(name) or []
            elements = groups[0] if groups else ()
            layers += [e.value[0] for e in elements if e.VR == "SQ" and e.value]
        except UNREADABLE:
            continue
    return layers


def _b_value(instance: Instance) -> float:
    """Return the highest b value of an image's frames, 0 if none is told."""
    try:
        frames = instance.header.get("PerFrameFunctionalGroupsSequence") or []
        groups = [f.MRDiffusionSequence[0] for f in frames if f.get("MRDiffusionSequence")]
    except UNREADABLE:
        groups = []
    values = [number_of(group, "DiffusionBValue") for group in (instance.header, *groups)]
    values.append(_private_b_value(instance.header))
    return max((value for value in values if value is not None), default=0.0)


def _private_b_value(header: Any) -> float | None:
    """Return the b value that manufacturers keep in fields of their own, s/mm²."""
    maker = text_of(header, "Manufacturer").upper()
    tag = next((tag for name, tag in _PRIVATE_B_VALUES.items() if maker.startswith(name)), None)
    if tag is None or tag not in header:
        return None
    try:
        value = header[tag].value
        if isinstance(value, bytes) and maker.startswith("PHILIPS"):
            return float(struct.unpack("<f", value)[0])
        if isinstance(value, bytes):
            value = value.decode("ascii").split("\\")
        first = value[0] if isinstance(value, (list, MutableSequence)) else value
        return None if first in (None, "") else float(first) % _GE_MARK
    except UNREADABLE:
        return None
