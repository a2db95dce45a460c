"""Which series of a study is the structural image to work on, and why the others are not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.errors import ScanError
from anatomaly.scan.sequence_hint import (
    contrast_agent_from_fields,
    contrast_warning,
    sequence_from_name,
    sequence_from_timing,
)
from anatomaly.types import MrSequence

_START, _END = r"(?:^|(?<=[^a-z]))", r"(?=$|[^a-z])"
_WORDS_AGAINST = {
    "a localizer": rf"locali[sz]er|scout|3[ -]?plane|{_START}(?:loc|survey){_END}",
    "diffusion": rf"dwi|dti|diffusion|tracew|{_START}(?:adc|fa(?![ _:=]?\d)|trace|b[01]0*0){_END}",
    "functional or perfusion": "bold|fmri|perfusion|ep2d|epi[_ -]|"
    rf"{_START}(?:asl|pcasl|pasl|dsc|dce|rcbf|rcbv|mtt|ttp){_END}",
    "an angiogram": rf"angio|{_START}(?:tof|mra|mrv|pca|mip){_END}",
    "a field map or susceptibility image": "field[ _-]?map|gre_field|"
    rf"{_START}(?:b0map|b1map|swi|swan|qsm){_END}",
    "a spectroscopy image": rf"{_START}(?:mrs|csi|svs){_END}",
    "a report or screenshot": r"screen[ _-]?(?:save|shot)|phoenix|report",
}
"""Words in descriptions mean other things too (epilepsy, flip angle): alone they refuse nothing
that is a whole head with the timing of a structural image."""
_DERIVED_TYPES = {"DERIVED", "SECONDARY", "MPR", "PROJECTION IMAGE", "REFORMATTED"}
_NO_STRUCTURAL_TYPES = {
    "P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY", "ADC", "FA", "TRACEW", "DIFFUSION",
    "LOCALIZER", "MIP", "MNIP", "MINIP", "PERFUSION", "ASL", "FMRI", "SCREEN SAVE", "SCREENSHOT",
    "T1 MAP", "T2 MAP", "T2_STAR MAP", "B0", "B0 MAP", "FIELD_MAP", "VELOCITY",
}  # fmt: skip
_MAX_VOLUMES = 4
"""More are a time series; fewer are repetitions of one image, of which one can be taken."""
_MIN_SLICES = 8
_WHOLE_HEAD_MM, _WHOLE_HEAD_SLICES = 110.0, 16
_ECHO_PLANAR = re.compile(r"^\*?(?:ep|epi|epfid|epse|ep_b|ep2d)[0-9a-z_]*", re.IGNORECASE)
MIN_EXTENT_MM = 60.0
ODD_TYPE, TOO_SMALL, TOO_FEW = "image type", "covers only", "only"
"""How reasons against a series begin."""
_FACTS = (
    "SeriesNumber", "SeriesDescription", "ProtocolName", "Modality", "Manufacturer",
    "ManufacturersModelName", "MagneticFieldStrength", "MRAcquisitionType", "ImageType",
    "SliceThickness", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle",
    "ConversionSoftwareVersion",
)  # fmt: skip
NO_SIDECAR = (
    "slices are missing or unevenly spaced, and dcm2niix could not interpolate them: convert the "
    "series with another tool and give the NIfTI file"
)
"""dcm2niix describes every image but one whose slices it could not bring to one distance."""


@dataclass(frozen=True)
class Series:
    """One converted series and what its DICOM header said.

    Attributes:
        path: NIfTI file.
        label: `series 4 'T1 MPRAGE'`.
        modality: `MR`, `CT` ...; empty if unknown.
        shape: as converted, 3 or 4 numbers.
        spacing_mm: of the three spatial axes.
        sequence: from description or timing.
        reason_against: why it can never be used; empty if it can.
        contrast_enhanced: after contrast agent.
        contrast_told: its own words say so, not only a tag, which may be the whole exam's.
        derived: reformatted or secondary, not as acquired.
        acquired_3d: one 3D acquisition, not slices.
        uneven_slices: slices are missing or unevenly spaced, or dcm2niix could not tell.
        facts: JSON values without anything personal.
        uid: SeriesInstanceUID; None if unknown.
        volumes: images at each place that are told apart by time or kind alone.
        doubt: what its description speaks of, though all else says structural; empty if nothing.
        doubt_settled: the description names the sequence that the timing is of.
        unusable_as_converted: why the converted file itself cannot be used; empty if it can.
    """

    path: Path
    label: str
    modality: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, float, float]
    sequence: MrSequence | None
    reason_against: str
    contrast_enhanced: bool
    derived: bool
    acquired_3d: bool
    uneven_slices: bool
    facts: dict[str, Any]
    uid: str | None = None
    volumes: int = 1
    doubt: str = ""
    doubt_settled: bool = False
    contrast_told: bool = False
    unusable_as_converted: str = ""


def exam_protocols(descriptions: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the protocol names that speak of a whole exam: no word about one of its series.

    That is a name which series of different descriptions share, and any name of GE scanners.
    """
    met: dict[str, set[str]] = {}
    of_exams = set()
    for fields in descriptions:
        protocol = str(fields.get("ProtocolName", ""))
        met.setdefault(protocol, set()).add(str(fields.get("SeriesDescription", "")))
        if str(fields.get("Manufacturer", "")).upper().startswith("GE"):
            of_exams.add(protocol)
    return frozenset(of_exams | {name for name, texts in met.items() if len(texts) > 1})


def series_of_file(
    path: Path, fields: Mapping[str, Any], of_exams: frozenset[str] = frozenset()
) -> Series:
    """Describe a converted file.

    Args:
        path: NIfTI file.
        fields: its sidecar, or what the DICOM header says by the same names.
        of_exams: see `exam_protocols`.
    """
    header: Any = nib.load(path).header
    shape = tuple(int(n) for n in header.get_data_shape())
    zooms = (*(abs(float(z)) for z in header.get_zooms()), 0.0, 0.0, 0.0)
    description = str(fields.get("SeriesDescription", ""))
    protocol = str(fields.get("ProtocolName", ""))
    title = description or protocol or re.sub(r"_[0-9.]{5,}.*", "", path.stem)  # no UID
    of_series = "" if protocol in of_exams else protocol
    types = fields.get("ImageType", [])
    image_type = {str(t).upper() for t in types} if isinstance(types, list) else set()
    timing, named = sequence_from_timing(fields), sequence_from_name(description)
    extent_mm = [n * z for n, z in zip((*shape, 1, 1)[:3], zooms, strict=False)]
    against = _kind_against(fields, image_type) or _pulses_against(path, fields)
    against = against or _size_against(shape, extent_mm)
    text = (description or of_series).lower()
    doubt = next((why for why, words in _WORDS_AGAINST.items() if re.search(words, text)), "")
    is_timed = timing is not None or (named is not None and "EchoTime" not in fields)
    is_whole = min(extent_mm) >= _WHOLE_HEAD_MM and min(shape[:3]) >= _WHOLE_HEAD_SLICES
    if doubt and (against or not is_timed or not is_whole):
        against = against if against.startswith("modality") else doubt
    return Series(
        path=path,
        label=f"series {fields.get('SeriesNumber', '?')} '{title}'",
        modality=str(fields.get("Modality", "")),
        shape=shape,
        spacing_mm=(zooms[0], zooms[1], zooms[2]),
        sequence=named or timing or sequence_from_name(of_series),
        reason_against=against if fields else NO_SIDECAR,
        contrast_enhanced=contrast_agent_from_fields((description, of_series), fields),
        derived=bool(image_type & _DERIVED_TYPES),
        acquired_3d=str(fields.get("MRAcquisitionType", "")).upper() == "3D",
        uneven_slices="_Eq" in path.stem,
        facts={key: fields[key] for key in _FACTS if key in fields},
        uid=fields.get("SeriesInstanceUID"),
        volumes=int(np.prod(shape[3:])),
        doubt=doubt,
        contrast_told=contrast_agent_from_fields((description, of_series), {}),
        doubt_settled=timing is not None and timing == named,
    )


def choose_series(candidates: list[Series], folder: Path) -> tuple[Series, tuple[str, ...]]:
    """Return the best structural series and what to tell the user.

    Series that are no structural MR image are out. Of the rest the best is, in this order: with a
    description that speaks of nothing else; whole, each place once; as acquired (not derived); of a
    known sequence (T1w, T2w, FLAIR); without contrast agent; most isotropic; acquired in 3D; most
    voxels; lowest series number.

    Raises:
        ScanError: none is left; the message names each and why.
    """
    left = [series for series in candidates if not series.reason_against]
    if not left:
        reasons = "; ".join(f"{s.label}: {s.reason_against}" for s in candidates[:20])
        raise ScanError(
            f"{folder}: no structural MR series among {len(candidates)} ({reasons}); name a folder "
            "with a T1w, T2w or FLAIR series of the whole head"
        )
    best = min(left, key=_rank)
    warnings = []
    if len(candidates) > 1:
        others = [s for s in candidates if s is not best]
        text = ", ".join(_named(s) for s in others[:20])
        warnings.append(f"of {len(candidates)} series, {best.label} was taken; not taken: {text}")
    if best.derived:
        warnings.append(f"{best.label} is derived or reformatted, not as acquired")
    if best.contrast_enhanced:
        warnings.append(contrast_warning(best.label))
    if best.doubt and not best.doubt_settled:
        warnings.append(
            f"the description of {best.label} speaks of {best.doubt}; its size and timing are "
            "those of a structural image, and it was taken as one"
        )
    return best, tuple(warnings)


def _named(series: Series) -> str:
    """Name a series that was not taken, and why if there is a reason."""
    why = series.reason_against or series.doubt
    if not why and series.volumes > 1:
        why = f"{series.volumes} volumes"
    if not why and (series.uneven_slices or series.unusable_as_converted):
        why = "slices missing or unevenly spaced"
    return series.label + (f" ({why})" if why else "")


def _rank(series: Series) -> tuple[float, ...]:
    """Sort key, smallest first."""
    spacing = sorted(series.spacing_mm)
    number = series.facts.get("SeriesNumber")
    return (
        bool(series.doubt),
        series.volumes > 1 or series.uneven_slices or bool(series.unusable_as_converted),
        series.derived,
        series.sequence is None,
        series.contrast_enhanced + series.contrast_told,
        round(2 * spacing[-1] / max(spacing[0], 1e-6)) / 2,
        not series.acquired_3d,
        -float(np.prod(series.shape[:3], dtype=np.float64)),
        float(number) if isinstance(number, (int, float)) else np.inf,
    )


def _kind_against(fields: Mapping[str, Any], image_type: set[str]) -> str:
    """Return what else than a structural MR image the header names; empty if nothing."""
    modality = str(fields.get("Modality", "")).upper()
    if modality and modality != "MR":
        return f"modality {modality}"
    odd = sorted(image_type & _NO_STRUCTURAL_TYPES)
    if not odd:
        return ""
    return "a localizer" if odd == ["LOCALIZER"] else f"{ODD_TYPE} {odd[0]}"


def _size_against(shape: tuple[int, ...], extent_mm: list[float]) -> str:
    """Return why a volume of that size shows no whole head; empty if it may."""
    volumes = int(np.prod(shape[3:]))
    if volumes > _MAX_VOLUMES:
        return f"{volumes} volumes"
    if min(extent_mm) < MIN_EXTENT_MM:
        return f"{TOO_SMALL} {' x '.join(f'{e:.0f}' for e in extent_mm)} mm"
    if min(shape[:3]) < _MIN_SLICES:
        return f"{TOO_FEW} {min(shape[:3])} slices"
    return ""


def _pulses_against(path: Path, fields: Mapping[str, Any]) -> str:
    """Return what other kind of image the pulse sequence makes; empty if none."""
    b_value = fields.get("DiffusionBValue")
    if path.with_suffix(".bval").is_file() or (isinstance(b_value, (int, float)) and b_value > 0):
        return "diffusion"
    names = [str(fields.get(name, "")) for name in ("SequenceName", "PulseSequenceName")]
    by_flag = str(fields.get("EchoPlanarPulseSequence", "")).upper() == "YES"
    by_name = any(_ECHO_PLANAR.match(name) for name in names)
    if by_flag or by_name or "EP" in str(fields.get("ScanningSequence", "")).upper().split("\\"):
        return "echo-planar: diffusion, functional or perfusion"
    is_angiogram = str(fields.get("AngioFlag", "")).upper() == "Y"
    if is_angiogram or str(fields.get("TimeOfFlightContrast", "")).upper() == "YES":
        return "an angiogram"
    return ""
