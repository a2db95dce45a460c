"""Sidecars as people and platforms write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anatomaly.errors import ScanError
from anatomaly.scan.read import read_scan

Save = Callable[..., Path]
FLAIR = {"RepetitionTime": 9, "EchoTime": 0.12, "InversionTime": 2.5}


def beside(save: Save, head: np.ndarray, content: bytes) -> Path:
    path = save(head, "head.nii.gz")
    path.with_name("head.json").write_bytes(content)
    return path


@pytest.mark.parametrize(
    "word",
    ["MR", "mr", "MRI", " mri ", "Magnetic Resonance", "magnetic-resonance imaging", "NMR", ["MR"],
     ["MR", "MRI"], "", None, []],
)  # fmt: skip
def test_words_for_mr_say_nothing(save: Save, head: np.ndarray, word: object):
    assert read_scan(beside(save, head, json.dumps({"Modality": word}).encode())).warnings == ()


@pytest.mark.parametrize("word", ["CT", "pt", "PET", ["CT"], "Computed Tomography", "US", "X-ray"])
def test_other_modalities_are_refused(save: Save, head: np.ndarray, word: object):
    path = beside(save, head, json.dumps({"Modality": word}).encode())
    with pytest.raises(ScanError, match=r"the modality is [A-Z ]+, only T1w, T2w and FLAIR"):
        read_scan(path)


@pytest.mark.parametrize("word", ["anat", "structural", 7, {"a": 1}, "MR/CT", ["PT", "MR"]])
def test_unknown_words_are_told(save: Save, head: np.ndarray, word: object):
    scan = read_scan(beside(save, head, json.dumps({"Modality": word}).encode()))
    assert any("the modality is given as" in w and "taken for MR" in w for w in scan.warnings)


@pytest.mark.parametrize(
    "encoded",
    [
        json.dumps(FLAIR).encode(),
        b"\xef\xbb\xbf" + json.dumps(FLAIR).encode(),
        json.dumps(FLAIR).encode("utf-16"),
        json.dumps(FLAIR | {"At": "Universität"}, ensure_ascii=False).encode("latin-1"),
    ],
)  # fmt: skip
def test_encodings(save: Save, head: np.ndarray, encoded: bytes):
    scan = read_scan(beside(save, head, encoded))
    assert scan.sequence_hint == "FLAIR"
    assert scan.warnings == ()


@pytest.mark.parametrize("content", [b"{", b"", b"[1]", b'"MR"', b"[" * 100_000, b"\xff\xfe\0"])
def test_unreadable_sidecars_are_ignored_and_told(save: Save, head: np.ndarray, content: bytes):
    scan = read_scan(beside(save, head, content))
    assert scan.sequence_hint is None
    assert any(w.startswith("head.json ") and "ignored" in w for w in scan.warnings)


@pytest.mark.parametrize("ending", [".nii", ".mgz", ".MGH", ".hdr", ".img"])
def test_sidecar_of_every_ending_is_found(tmp_path: Path, ending: str):
    from anatomaly.scan.sidecar import read_sidecar

    (tmp_path / "head.json").write_text(json.dumps(FLAIR))
    assert read_sidecar(tmp_path / f"head{ending}") == (FLAIR, ())
