"""Which series of a study is the structural image to work on, and why the others are not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.errors import ScanError
from anatomaly.scan.sequence_hint import sequence_from_name, sequence_from_timing
from anatomaly.types import Sequence

_START, _END = r"(?:^|(?<=[^a-z]))", r"(?=$|[^a-z])"
_NOT_STRUCTURAL: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a localizer", re.compile(r"locali[sz]er|scout|survey|3[ -]?plane|" + _START + "loc" + _END)),
    (
        "diffusion",
        re.compile(r"dwi|dti|diffusion|tracew|" + _START + "(?:adc|fa|trace|b[01]0*0)" + _END),
    ),
    (
        "functional or perfusion",
        re.compile(
            r"bold|fmri|perfusion|"
            + _START
            + "(?:asl|pcasl|pasl|dsc|dce|rcbf|rcbv|mtt|ttp)"
            + _END
            + r"|ep2d|epi[_ -]"
        ),
    ),
    ("an angiogram", re.compile(r"angio|" + _START + "(?:tof|mra|mrv|pca|mip)" + _END)),
    (
        "a field map or susceptibility image",
        re.compile(r"field[ _-]?map|gre_field|" + _START + "(?:b0map|b1map|swi|swan|qsm)" + _END),
    ),
    ("a spectroscopy image", re.compile(_START + "(?:mrs|csi|svs)" + _END)),
    ("a report or screenshot", re.compile(r"screen[ _-]?(?:save|shot)|phoenix|report")),
)
_CONTRAST = re.compile(
    r"gado|contrast|post[ _-]?(?:gd|con|km|c)"
    + r"|"
    + _START
    + r"(?:gd|\+c|c\+|ce|km|t1ce|t1c|t1gd|t1km|post)"
    + _END
)
_DERIVED_TYPES = {"DERIVED", "SECONDARY", "MPR", "PROJECTION IMAGE", "REFORMATTED"}
_NOT_MAGNITUDE = {"P", "PHASE", "R", "REAL", "I", "IMAGINARY", "ADC", "FA", "TRACEW", "DIFFUSION"}
_MIN_EXTENT_MM = 60.0
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
        derived: reformatted or secondary, not as acquired.
        acquired_3d: one 3D acquisition, not slices.
        uneven_slices: interpolated, because slices are missing or unevenly spaced.
        facts: JSON values without anything personal.
        uid: SeriesInstanceUID; None if unknown.
    """

    path: Path
    label: str
    modality: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, float, float]
    sequence: Sequence | None
    reason_against: str
    contrast_enhanced: bool
    derived: bool
    acquired_3d: bool
    uneven_slices: bool
    facts: dict[str, Any]
    uid: str | None = None


def series_of_file(path: Path, sidecar: Mapping[str, Any]) -> Series:
    """Describe a converted file by its header and its sidecar."""
    header: Any = nib.load(path).header
    shape = tuple(int(n) for n in header.get_data_shape())
    zooms = (*(abs(float(z)) for z in header.get_zooms()), 0.0, 0.0, 0.0)
    named = [str(sidecar.get(key, "")) for key in ("SeriesDescription", "ProtocolName")]
    title = next((text for text in named if text), path.stem)
    number = sidecar.get("SeriesNumber", "?")
    text = " ".join(dict.fromkeys(named)).lower()
    types = sidecar.get("ImageType", [])
    image_type = {str(t).upper() for t in types} if isinstance(types, list) else set()
    modality = str(sidecar.get("Modality", ""))
    sequence = sequence_from_name(named[0]) or sequence_from_name(named[1])
    timing = sequence_from_timing(sidecar)
    return Series(
        path=path,
        label=f"series {number} '{title}'",
        modality=modality,
        shape=shape,
        spacing_mm=(zooms[0], zooms[1], zooms[2]),
        sequence=sequence or timing,
        reason_against=_reason_against(text, modality, image_type, shape, zooms)
        if sidecar
        else NO_SIDECAR,
        contrast_enhanced=bool(_CONTRAST.search(text) or sidecar.get("ContrastBolusIngredient")),
        derived=bool(image_type & _DERIVED_TYPES),
        acquired_3d=str(sidecar.get("MRAcquisitionType", "")).upper() == "3D",
        uneven_slices="_Eq" in path.stem,
        facts={key: sidecar[key] for key in _FACTS if key in sidecar},
        uid=sidecar.get("SeriesInstanceUID"),
    )


def choose_series(found: list[Series], folder: Path) -> tuple[Series, tuple[str, ...]]:
    """Return the best structural series and what to tell the user.

    Series that are no structural MR image are out. Of the rest the best is, in this order: as
    acquired (not derived); of a known sequence (T1w, T2w, FLAIR); without contrast agent; most
    isotropic; acquired in 3D; most voxels; lowest series number.

    Raises:
        ScanError: none is left; the message names each and why.
    """
    left = [series for series in found if not series.reason_against]
    if not left:
        reasons = "; ".join(f"{s.label}: {s.reason_against}" for s in found[:20])
        raise ScanError(
            f"{folder}: no structural MR series among {len(found)} ({reasons}); name a folder "
            "with a T1w, T2w or FLAIR series of the whole head"
        )
    best = min(left, key=_rank)
    warnings = []
    if len(found) > 1:
        others = [s for s in found if s is not best]
        told = ", ".join(
            s.label + (f" ({s.reason_against})" if s.reason_against else "") for s in others[:20]
        )
        warnings.append(f"of {len(found)} series, {best.label} was taken; not taken: {told}")
    if best.derived:
        warnings.append(f"{best.label} is derived or reformatted, not as acquired")
    if best.uneven_slices:
        warnings.append(
            f"{best.label} has missing or unevenly spaced slices; they were interpolated, results "
            "near the gap are doubtful"
        )
    if best.contrast_enhanced:
        warnings.append(
            f"{best.label} seems to be contrast-enhanced; enhancement may be taken for a lesion"
        )
    return best, tuple(warnings)


def _rank(series: Series) -> tuple[float, ...]:
    """Sort key, smallest first."""
    spacing = sorted(series.spacing_mm)
    number = series.facts.get("SeriesNumber")
    return (
        series.derived,
        series.sequence is None,
        series.contrast_enhanced,
        round(2 * spacing[-1] / max(spacing[0], 1e-6)) / 2,
        not series.acquired_3d,
        -float(np.prod(series.shape[:3], dtype=np.float64)),
        float(number) if isinstance(number, (int, float)) else np.inf,
    )


def _reason_against(
    text: str, modality: str, image_type: set[str], shape: tuple[int, ...], zooms: tuple[float, ...]
) -> str:
    """Return why a series cannot be a structural MR image; empty if it can."""
    if modality and modality.upper() != "MR":
        return f"modality {modality.upper()}"
    for reason, pattern in _NOT_STRUCTURAL:
        if pattern.search(text):
            return reason
    odd = sorted(image_type & _NOT_MAGNITUDE)
    if odd:
        return f"image type {odd[0]}"
    if len(shape) > 3 and int(np.prod(shape[3:])) > 1:
        return f"{int(np.prod(shape[3:]))} volumes"
    extent = [n * z for n, z in zip((*shape, 1, 1)[:3], zooms, strict=False)]
    if min(extent) < _MIN_EXTENT_MM:
        return f"covers only {' x '.join(f'{e:.0f}' for e in extent)} mm"
    return ""
