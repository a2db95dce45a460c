"""What the header of a series says of its sequence, by the names and units of a BIDS sidecar."""

from __future__ import annotations

import struct
from collections.abc import Mapping, MutableSequence, Sequence
from typing import Any

from anatomaly.scan.instances import UNREADABLE, Instance, number_of, text_of, texts_of

_TEXTS = {
    "SeriesDescription": "SeriesDescription",
    "ProtocolName": "ProtocolName",
    "Modality": "Modality",
    "Manufacturer": "Manufacturer",
    "ManufacturerModelName": "ManufacturersModelName",
    "MRAcquisitionType": "MRAcquisitionType",
    "SequenceName": "SequenceName",
    "PulseSequenceName": "PulseSequenceName",
    "SeriesInstanceUID": "SeriesInstanceUID",
    "ContrastBolusAgent": "ContrastBolusAgent",
    "AngioFlag": "AngioFlag",
    "EchoPlanarPulseSequence": "EchoPlanarPulseSequence",
    "TimeOfFlightContrast": "TimeOfFlightContrast",
}
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


def fields_of_series(instances: Sequence[Instance]) -> dict[str, Any]:
    """Describe a series by the header of its first image; empty without images.

    `DiffusionBValue` is the highest of the series (s/mm²).
    """
    if not instances:
        return {}
    layers = _layers(instances[0].header)
    fields: dict[str, Any] = {}
    for name, known_as in _TEXTS.items():
        fields[known_as] = next((t for layer in layers if (t := text_of(layer, name))), "")
    for name in _NUMBERS:
        fields[name] = next((n for la in layers if (n := number_of(la, name)) is not None), None)
    for name, sources in _MILLISECONDS.items():
        found = (number_of(layer, source) for layer in layers for source in sources)
        fields[name] = next((ms / 1000 for ms in found if ms), None)
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
            found = [e.value[0] for e in (groups[0] if groups else ()) if e.VR == "SQ" and e.value]
        except UNREADABLE:
            continue
        layers += found
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
