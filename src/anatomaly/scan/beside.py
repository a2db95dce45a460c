"""What belongs to a scan by its name: the other half of a pair, and the BIDS sidecar."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any

from anatomaly.endings import HEADER_ENDINGS, VOXELS_ENDINGS, has_ending, without_ending
from anatomaly.errors import ScanError

_MAX_BYTES = 10_000_000
_MR_WORDS = frozenset({
    "MR", "MRI", "NMR", "MRT", "IRM", "RM", "SMRI", "MAGNETIC RESONANCE",
    "MAGNETIC RESONANCE IMAGING", "MR IMAGING", "MAGNETIC RESONANCE IMAGE", "MR IMAGE",
})  # fmt: skip
_OTHER_WORDS = frozenset({
    "CT", "CBCT", "PT", "PET", "NM", "SPECT", "US", "IVUS", "CR", "DX", "DR", "XA", "RF", "MG",
    "XR", "IO", "PX", "ES", "XC", "GM", "SM", "OP", "OPT", "SC", "ECG", "HD", "SEG", "SR", "PR",
    "KO", "REG", "DOC", "BMD", "RTIMAGE", "RTDOSE", "RTSTRUCT", "RTPLAN", "EEG", "IEEG", "MEG",
    "NIRS", "OT",
    "COMPUTED TOMOGRAPHY", "COMPUTERIZED TOMOGRAPHY", "COMPUTERISED TOMOGRAPHY", "CT SCAN",
    "POSITRON EMISSION TOMOGRAPHY", "ULTRASOUND", "X RAY", "MICROSCOPY",
})  # fmt: skip


def header_of(path: Path) -> Path:
    """Return the file that holds the header: the `.hdr` beside an `.img`, else the file itself."""
    if not has_ending(path.name, VOXELS_ENDINGS):
        return path
    return _beside(path, HEADER_ENDINGS) or path


def voxels_of(header: Path) -> Path | None:
    """Return the `.img` beside a `.hdr`, None if there is none."""
    return _beside(header, VOXELS_ENDINGS)


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that a scan consists of, the header first; either half may be named."""
    header = header_of(path)
    voxels = voxels_of(header) if has_ending(header.name, HEADER_ENDINGS) else None
    return (header,) if voxels is None else (header, voxels)


def read_sidecar(scan: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the fields of the JSON file beside a scan, and what there is to say about it.

    UTF-8 with and without a byte order mark, UTF-16 and Latin-1 are read. Without a file, or with
    one that cannot be read, there are no fields.

    Args:
        scan: the image; the sidecar has its name and ends with `.json`.
    """
    beside = scan.with_name(f"{without_ending(scan.name)}.json")
    try:
        if not beside.is_file():
            return {}, ()
        if beside.stat().st_size > _MAX_BYTES:
            return {}, (f"{beside.name} is too large for a sidecar and was not read",)
        fields = json.loads(_decoded(beside.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}, (f"{beside.name} is no JSON file that can be read; it was ignored",)
    if not isinstance(fields, dict):
        return {}, (f"{beside.name} holds no named fields; it was ignored",)
    return fields, ()


def modality_warnings(modality: object, what: str) -> tuple[str, ...]:
    """Refuse what DICOM or a sidecar calls another modality than MR; doubt words nobody knows.

    Args:
        modality: a word, a list of words, or nothing.
        what: how messages name the scan.

    Raises:
        ScanError: another modality, and MR nowhere among the words.

    >>> modality_warnings("mri", "x"), modality_warnings(["MR"], "x"), modality_warnings(None, "x")
    ((), (), ())
    """
    parts = modality if isinstance(modality, (list, tuple)) else [modality]
    named = [str(part) for part in parts if part is not None]
    words = [word for part in named for word in re.split(r"[\\/,;+]", part)]
    plain = [" ".join(re.findall(r"[A-Z0-9]+", word.upper())) for word in words]
    plain = [word for word in plain if word]
    if not plain or all(word in _MR_WORDS for word in plain):
        return ()
    said = ", ".join(plain)
    if any(word in _MR_WORDS for word in plain):
        return (f"the modality is given as {said}; taken for MR",)
    if any(word in _OTHER_WORDS for word in plain):
        raise ScanError(
            f"{what}: the modality is {said}, only T1w, T2w and FLAIR MR images can "
            "be used; give an MR series"
        )
    return (f"the modality is given as {said}, which is not known; taken for MR",)


def _beside(path: Path, endings: tuple[str, ...]) -> Path | None:
    """Return the file of the same name with one of the endings, in lower or upper case."""
    stem = without_ending(path.name)
    names = [stem + shown for ending in endings for shown in (ending, ending.upper())]
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def _decoded(content: bytes) -> str:
    """Return the text of a file whose encoding nobody named."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
