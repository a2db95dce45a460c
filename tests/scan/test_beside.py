"""Scans in two files, either half named, packed or not; sidecars as people write them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly.errors import ScanError
from anatomaly.scan.beside import files_of
from anatomaly.scan.overwrite import write_replaced
from anatomaly.scan.read import read_scan

Check = Callable[[], None]
Save = Callable[..., Path]
FLAIR = {"RepetitionTime": 9, "EchoTime": 0.12, "InversionTime": 2.5}


@pytest.fixture
def pair(tmp_path: Path, head: np.ndarray, oblique: np.ndarray) -> Path:
    """The header of a NIfTI pair."""
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    nib.Nifti1Pair(head, oblique).to_filename(folder / "scan_T1w.hdr")
    return folder / "scan_T1w.hdr"


@pytest.mark.parametrize("half", [".hdr", ".img"])
def test_either_half_may_be_named(pair: Path, head: np.ndarray, oblique: np.ndarray, half: str):
    path = pair.with_suffix(half)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.data, head)
    assert np.array_equal(scan.volume.affine, oblique)
    assert (scan.name, scan.sequence_hint, scan.source) == ("scan_T1w", "T1w", path)
    assert scan.warnings == ()
    both = pair.read_bytes() + pair.with_suffix(".img").read_bytes()
    assert scan.metadata["sha256"] == hashlib.sha256(both).hexdigest()


def test_nifti2_pair(tmp_path: Path, head: np.ndarray, oblique: np.ndarray):
    nib.Nifti2Pair(head, oblique).to_filename(tmp_path / "scan.hdr")
    assert np.array_equal(read_scan(tmp_path / "scan.img").volume.data, head)
    assert read_scan(tmp_path / "scan.hdr").metadata["file_type"] == "NIfTI-2"


@pytest.mark.parametrize(
    "names", [("S.HDR", "S.IMG"), ("s.hdr.gz", "s.img.gz"), ("s.hdr", "s.img.gz")]
)
def test_packed_and_upper_case_pairs(pair: Path, head: np.ndarray, names: tuple[str, str]):
    halves = []
    for old, name in zip((pair, pair.with_suffix(".img")), names, strict=True):
        content = old.read_bytes()
        old.unlink()
        halves.append(pair.with_name(name))
        halves[-1].write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    for half in halves:
        assert np.array_equal(read_scan(half).volume.data, head)
        assert files_of(half) == tuple(halves)


@pytest.mark.parametrize("said", [0, 16, 352, -3, np.nan])
def test_offset_that_the_voxels_do_not_have_is_0(
    pair: Path, head: np.ndarray, poke: Callable[..., Path], said: float
):
    scan = read_scan(poke(pair, vox_offset=said))
    assert np.array_equal(scan.volume.data, head)
    assert any("they begin at byte 0" in w for w in scan.warnings) == (said != 0)


def test_offset_that_the_voxels_have_counts(
    pair: Path, head: np.ndarray, poke: Callable[..., Path]
):
    voxels = pair.with_suffix(".img")
    voxels.write_bytes(bytes(range(16)) + voxels.read_bytes())
    assert np.array_equal(read_scan(poke(pair, vox_offset=16)).volume.data, head)


def test_missing_or_short_halves_are_refused(pair: Path, nothing_left: Check):
    voxels = pair.with_suffix(".img")
    content = voxels.read_bytes()
    voxels.write_bytes(content[:-1])
    with pytest.raises(ScanError, match=r"scan_T1w\.img: truncated.*copy or convert it again"):
        read_scan(pair)
    voxels.unlink()
    with pytest.raises(ScanError, match=r"the same name with \.img\) are missing; put both"):
        read_scan(pair)
    voxels.write_bytes(content)
    pair.unlink()
    with pytest.raises(ScanError, match=r"the same name with \.hdr\) is missing; put both"):
        read_scan(voxels)
    nothing_left()


def test_single_file_under_the_name_of_a_half(tmp_path: Path, head: np.ndarray, oblique):
    for name in ("a.hdr", "b.img"):
        nib.Nifti1Image(head, oblique).to_filename(tmp_path / "scan.nii")
        (tmp_path / "scan.nii").rename(tmp_path / name)
        assert np.array_equal(read_scan(tmp_path / name).volume.data, head)


def test_filled_pair_is_one_file(pair: Path, head: np.ndarray, oblique: np.ndarray, tmp_path: Path):
    scan = read_scan(pair)
    region = np.zeros(head.shape, dtype=bool)
    region[10:14, 20, 20] = True
    values = scan.volume.with_data(np.full(head.shape, 55.0, dtype=np.float32))
    written = nib.load(write_replaced(tmp_path / "filled.nii", scan, values, region))
    assert np.array_equal(written.affine, oblique)
    assert np.array_equal(written.get_fdata(), np.where(region, 55.0, head))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair, nib.AnalyzeImage])
def test_random_damage_ends_in_a_scan_or_a_named_error(
    tmp_path: Path, head: np.ndarray, kind: type
):
    """60 headers with bytes overwritten: never another exception, never a numpy warning."""
    random = np.random.default_rng(23)
    path = tmp_path / "scan.hdr"
    kind(head, np.diag([-4.0, 3.5, 5.25, 1.0])).to_filename(path)
    (tmp_path / "scan.mat").unlink(missing_ok=True)
    sound = path.read_bytes()
    refused = 0
    for _ in range(60):
        damaged = bytearray(sound)
        for at in random.integers(0, 110, 3):  # where sizes, types and scaling are
            damaged[at : at + 2] = random.choice([b"\0\0", b"\xff\xff", b"\x7f\x80", b"\5\1"])
        path.write_bytes(damaged[: len(sound)])
        try:
            read_scan(path)
        except ScanError:
            refused += 1
    assert 5 < refused < 60


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
    from anatomaly.scan.beside import read_sidecar

    (tmp_path / "head.json").write_text(json.dumps(FLAIR))
    assert read_sidecar(tmp_path / f"head{ending}") == (FLAIR, ())
