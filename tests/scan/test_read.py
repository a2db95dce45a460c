"""Paths and images in memory become scans; what goes into metadata and names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly.errors import AnatomalyError, GeometryError, ScanError
from anatomaly.scan.read import read_scan, scan_from_image, scan_name
from anatomaly.volume import Volume

Save = Callable[..., Path]


def test_scan_holds_what_the_file_said(save: Save, head: np.ndarray, oblique: np.ndarray):
    path = save(head, "sub-01_T2w.nii.gz")
    scan = read_scan(str(path))
    assert np.array_equal(scan.volume.data, head)
    assert scan.volume.data.dtype == np.float32
    assert np.array_equal(scan.volume.affine, oblique)
    assert (scan.name, scan.sequence_hint, scan.source) == ("sub-01_T2w", "T2w", path)
    assert scan.warnings == ()
    assert scan.metadata["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert scan.metadata["shape"] == [40, 49, 33]
    np.testing.assert_allclose(scan.metadata["spacing_mm"], [4, 3.5, 5.25], rtol=1e-5)
    assert scan.metadata["orientation"] == "".join(nib.aff2axcodes(oblique))
    assert scan.metadata["stored_type"] == "float32"
    assert json.loads(json.dumps(scan.metadata)) == scan.metadata


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.nii.gz", "b"),
        ("b.c.nii", "b.c"),
        ("B.NII.GZ", "B"),
        ("T1.mgz", "T1"),
        ("T1.mgh.gz", "T1"),
        ("a/pair.hdr", "pair"),
        ("a/pair.IMG.gz", "pair"),
        (".nii.gz", "scan"),
        ("study/", "study"),
        ("...nii", "scan"),
    ],
)
def test_names(path: str, name: str):
    assert scan_name(Path(path)) == name


@pytest.mark.parametrize("name", ["T1.mgh", "T1.HDR", "T1.img.gz", "T1.nii"])
def test_folder_of_images_says_to_give_the_file(tmp_path: Path, name: str):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"an image")
    with pytest.raises(ScanError, match=rf"no DICOM images.*give the file itself.*{name}"):
        read_scan(tmp_path / "in")


def test_unreadable_file_without_known_ending_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "scan.xyz"
    path.write_bytes(b"?")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ScanError, match=r"scan\.xyz: cannot be read \(Permission denied\)"):
        read_scan(path)


def test_sidecar_gives_sequence_and_modality(save: Save, head: np.ndarray):
    path = save(head, "head.nii.gz")
    sidecar = path.with_name("head.json")
    sidecar.write_text(json.dumps({"RepetitionTime": 9, "EchoTime": 0.12, "InversionTime": 2.5}))
    assert read_scan(path).sequence_hint == "FLAIR"
    sidecar.write_text(json.dumps({"Modality": "CT"}))
    with pytest.raises(ScanError, match="modality is CT, only T1w, T2w and FLAIR"):
        read_scan(path)
    for text in ("{", "[1]", ""):
        sidecar.write_text(text)
        assert read_scan(path).sequence_hint is None


def test_image_in_memory_equals_file(save: Save, head: np.ndarray):
    path = save(head, "x_FLAIR.nii.gz", sform_code=0, qform_code=2)
    from_file, from_memory = read_scan(path), scan_from_image(nib.load(path), "x_FLAIR")
    assert np.array_equal(from_file.volume.affine, from_memory.volume.affine)
    assert np.array_equal(from_file.volume.data, from_memory.volume.data)
    assert from_memory.source is None
    assert from_memory.sequence_hint == "FLAIR"
    for field in ("sform_code", "qform_code", "xyzt_units", "quatern_b"):
        assert from_file.header[field] == from_memory.header[field]


def test_image_in_memory_does_not_change(head: np.ndarray, oblique: np.ndarray):
    image = nib.Nifti1Image(head, oblique)
    before = image.header.binaryblock
    scan = scan_from_image(image)
    scan.header["sform_code"] = 4
    scan.volume.data[...] = 7
    assert image.header.binaryblock == before
    assert np.array_equal(image.get_fdata(dtype=np.float32), head)
    assert head.max() > 7


def test_affine_set_in_memory_counts(head: np.ndarray, oblique: np.ndarray):
    image = nib.Nifti1Image(head, np.diag([4.0, 4, 4, 1]))
    moved = nib.Nifti1Image(head, oblique, image.header)
    assert np.array_equal(scan_from_image(moved).volume.affine, oblique)


@pytest.mark.parametrize("make", [nib.MGHImage, nib.Nifti2Image, nib.Spm99AnalyzeImage])
def test_other_image_types_in_memory(head: np.ndarray, oblique: np.ndarray, make: type):
    scan = scan_from_image(make(head, oblique))
    np.testing.assert_allclose(scan.volume.affine, oblique, atol=1e-5)
    assert np.array_equal(scan.volume.data, head)


def test_the_same_rules_hold_in_memory(head: np.ndarray, oblique: np.ndarray):
    with pytest.raises(ScanError, match="mask or label map"):
        scan_from_image(Volume(head > 0, oblique))
    with pytest.raises(ScanError, match="complex"):
        scan_from_image(Volume(head.astype(complex), oblique))
    with pytest.raises(ScanError, match="series of 2 volumes"):
        scan_from_image(nib.Nifti1Image(np.stack([head, head], axis=-1), oblique))
    with pytest.raises(GeometryError, match="voxels of 40"):
        scan_from_image(Volume(head, np.diag([40.0, 4, 4, 1])))
    with pytest.raises(ScanError, match="expected a path, a nibabel image or a Volume, got int"):
        scan_from_image(3)  # type: ignore[arg-type]


def test_damaged_file_behind_an_image_in_memory_is_refused(save: Save, head: np.ndarray):
    path = save(head)
    image = nib.load(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ScanError, match=r"voxels cannot be read.*copy or convert"):
        scan_from_image(image, "scan")


def test_every_real_scan_is_read_and_every_mask_refused(data_folder: Path):
    files = sorted(
        path for part in ("cases", "raw_heads") for path in (data_folder / part).rglob("*.nii.gz")
    )
    assert files
    for path in files:
        name = path.name.removesuffix(".nii.gz")
        if name in ("T1w", "T2w", "FLAIR"):
            scan = read_scan(path)
            assert scan.sequence_hint == name
            assert np.array_equal(scan.volume.affine, nib.load(path).affine)
            assert np.isfinite(scan.volume.data).all()
        else:
            with pytest.raises(AnatomalyError, match="mask or label map"):
                read_scan(path)


@pytest.mark.parametrize(
    ("name", "sidecar", "warned"),
    [
        ("BraTS-GLI-00001-000-t1c", {}, True),
        ("p01_t1ce", {}, True),
        ("sub-01_ce-gadolinium_T1w", {}, True),
        ("p01_t1", {"SeriesDescription": "T1 SE tra +C"}, True),
        ("p01_t1", {"ContrastBolusIngredient": "GADOLINIUM"}, True),
        ("p01_t1_pre", {"ContrastBolusIngredient": "GADOLINIUM"}, False),
        ("BraTS-GLI-00001-000-t1n", {}, False),
        ("sub-01_ses-post_T1w", {}, False),
    ],
)
def test_contrast_agent_in_name_or_sidecar_is_told(
    save: Save, head: np.ndarray, name: str, sidecar: dict, warned: bool
):
    path = save(head, f"{name}.nii.gz")
    path.with_name(f"{name}.json").write_text(json.dumps(sidecar))
    told = [w for w in read_scan(path).warnings if "seems to be contrast-enhanced" in w]
    assert len(told) == warned
