"""The BIDS sidecar beside a scan, however it was encoded, and the modality that it names."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any

from anatomaly.endings import without_ending
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


def _decoded(content: bytes) -> str:
    """Return the text of a file whose encoding nobody named."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
