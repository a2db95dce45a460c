"""DICOM folders: real series, written with pydicom, converted with dcm2niix."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, HTJ2KLossless

from anatomaly.errors import ScanError
from anatomaly.leftovers import hold_lock
from anatomaly.scan import dicom
from anatomaly.scan.conversion import sidecar_of
from anatomaly.scan.instances import is_dicom_file, one_file_a_series
from anatomaly.scan.read import read_scan


def test_oblique_anisotropic_series_lies_where_dicom_says(study, nothing_left: Callable[[], None]):
    study.add(4, "T1_MPRAGE_sag")
    scan = read_scan(study.folder)
    brightest = np.unravel_index(np.argmax(scan.volume.data), scan.volume.shape)
    found = scan.volume.affine @ (*brightest, 1)
    assert scan.volume.data.max() == 3000
    np.testing.assert_allclose(found[:3], study.patient_mm(*study.MARKER), atol=0.01)
    np.testing.assert_allclose(sorted(scan.volume.spacing_mm), sorted(study.SPACING_MM), atol=1e-3)
    assert sorted(scan.volume.shape) == sorted(study.SIZE)
    assert scan.sequence_hint == "T1w"
    assert scan.name == "study"
    assert scan.source == study.folder
    assert scan.metadata["dicom_series"]["SeriesNumber"] == 4
    assert len(scan.metadata["sha256"]) == 64
    assert "somebody" not in str(scan.metadata) + str(scan.warnings)
    nothing_left()


def test_best_of_several_series_is_taken_and_named(study):
    study.add(1, "localizer", size=(36, 30, 3))
    study.add(2, "ep2d_diff_DWI")
    study.add(3, "t2_tse_tra", timing_ms=(4000, 100, None))
    study.add(5, "t1_mprage_sag", acquisition="3D")
    study.add(6, "t1_mprage_sag_post_gd", acquisition="3D", size=(40, 36, 24))
    study.add(7, "t1_mprage_MPR", image_type=("DERIVED", "SECONDARY", "MPR"), size=(40, 36, 24))
    scan = read_scan(study.folder)
    assert scan.metadata["dicom_series"]["SeriesNumber"] == 5
    told = [w for w in scan.warnings if "series 5 't1_mprage_sag' was taken" in w]
    assert len(told) == 1
    assert "series 2 'ep2d_diff_DWI' (diffusion)" in told[0]
    assert "(a localizer)" in told[0]
    assert len(scan.metadata["dicom_series_found"]) >= 6


def test_sequence_from_timing_where_the_description_is_silent(study):
    study.add(3, "AXIAL HEAD", timing_ms=(9000, 120, 2500))
    assert read_scan(study.folder).sequence_hint == "FLAIR"


def test_only_a_derived_series_is_taken_with_a_warning(study):
    study.add(7, "t1_space", image_type=("DERIVED", "SECONDARY", "MPR"))
    assert any("derived" in warning for warning in read_scan(study.folder).warnings)


def test_missing_slices_keep_the_geometry_right(study):
    """dcm2niix closes the gap in one of its two outputs; the marker behind it would move 7.5 mm."""
    study.add(4, "T1 MPRAGE")
    (study.folder / "s04_010.dcm").unlink()
    scan = read_scan(study.folder)
    weights = np.where(scan.volume.data > 1000, scan.volume.data, 0)
    centre = np.array([np.average(i, weights=weights) for i in np.indices(weights.shape)])
    found = scan.volume.affine @ (*centre, 1)
    np.testing.assert_allclose(found[:3], study.patient_mm(*study.MARKER), atol=2.0)
    assert any("missing or unevenly spaced slices" in warning for warning in scan.warnings)
    assert scan.metadata["dicom_series_found"] == ["series 4 'T1 MPRAGE'"]
    assert scan.metadata["dicom_series"]["SeriesNumber"] == 4


def test_missing_slices_of_unsigned_pixels_are_interpolated_too(study):
    """dcm2niix interpolates signed pixels alone; of unsigned ones it leaves a wrong geometry."""
    study.add(4, "T1 MPRAGE", fields={"PixelRepresentation": 0})
    whole = read_scan(study.folder)
    (study.folder / "s04_010.dcm").unlink()
    scan = read_scan(study.folder)
    assert any("interpolated" in w and "(1 slices made up)" in w for w in scan.warnings)
    np.testing.assert_allclose(scan.volume.affine, whole.volume.affine, atol=1e-3)
    differ = np.any(scan.volume.data != whole.volume.data, axis=(0, 1))
    k = int(np.flatnonzero(differ)[0])
    assert differ.sum() == 1
    neighbours = whole.volume.data[:, :, [k - 1, k + 1]].mean(axis=2)
    np.testing.assert_allclose(scan.volume.data[:, :, k], neighbours, atol=0.51)  # rounded


def test_too_many_missing_slices_are_refused(study):
    study.add(4, "T1 MPRAGE", fields={"PixelRepresentation": 0}, skip=(8, 9, 10, 11))
    with pytest.raises(ScanError, match=r"4 slices are missing beside 20.*export the series again"):
        read_scan(study.folder)


def test_a_broken_series_does_not_stop_another(study):
    broken = {"fields": {"PixelRepresentation": 0}, "skip": (8, 9, 10, 11)}
    study.add(2, "T1 MPRAGE", **broken)
    study.add(5, "t2_tse_gd", timing_ms=(4000, 100, None))  # ranks behind, if both lack slices
    scan = read_scan(study.folder)
    assert scan.metadata["dicom_series"]["SeriesNumber"] == 5
    assert any("series 2 'T1 MPRAGE' (slices missing or uneven" in w for w in scan.warnings)
    (study.folder / "s05_010.dcm").unlink()
    scan = read_scan(study.folder)
    assert scan.metadata["dicom_series"]["SeriesNumber"] == 5
    assert any("series 2 'T1 MPRAGE' (4 slices are missing" in w for w in scan.warnings)


def test_a_series_without_a_sidecar_does_not_borrow_that_of_another(tmp_path):
    for name in ("series_2", "series_2a", "series_20", "series_20_Eq_1", "series_2.1"):
        nib.save(
            nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), tmp_path / f"{name}.nii"
        )
    told = {"PatientID": "one", "SeriesNumber": 2}
    (tmp_path / "series_2.json").write_text(json.dumps(told), encoding="utf-8")
    owners = {p.stem: bool(sidecar_of(p)) for p in tmp_path.glob("*.nii")}
    assert owners == {
        "series_2": True,
        "series_2a": True,
        "series_20": False,
        "series_20_Eq_1": False,
        "series_2.1": False,
    }


def test_missing_slices_do_not_hide_a_ct(study):
    study.add(4, "head", modality="CT")
    (study.folder / "s04_010.dcm").unlink()
    with pytest.raises(ScanError, match="modality CT"):
        read_scan(study.folder)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ({"description": "HEAD CT", "modality": "CT"}, "modality CT.*T1w, T2w or FLAIR"),
        ({"description": "dwi_b1000", "timing_ms": (4000.0, 40.0, None)}, "diffusion"),
        ({"description": "T1", "fields": {"DiffusionBValue": 1000.0}}, "diffusion"),
        ({"description": "T1", "fields": {"ScanningSequence": ["EP", "GR"]}}, "echo-planar"),
        ({"description": "T1", "fields": {"SequenceName": "*epfid2d1_64"}}, "echo-planar"),
        ({"description": "T1", "fields": {"AngioFlag": "Y"}}, "an angiogram"),
        ({"description": "t1_slab", "size": (36, 30, 7)}, "covers only .*52 mm"),
        ({"description": "t1", "image_type": ("ORIGINAL", "PRIMARY", "P")}, "image type P"),
    ],
)
def test_no_structural_series_is_refused(
    study, nothing_left: Callable[[], None], series: dict, message: str
):
    study.add(2, **series)
    with pytest.raises(ScanError, match=message):
        read_scan(study.folder)
    nothing_left()


def test_several_patients_are_refused(study, nothing_left: Callable[[], None]):
    study.add(1, "T1 one", patient="one")
    study.add(2, "T1 two", patient="two")
    with pytest.raises(ScanError, match="2 patients; name the folder of one"):
        read_scan(study.folder)
    nothing_left()


def test_folder_without_dicom_is_refused(tmp_path: Path, nothing_left: Callable[[], None]):
    folder = tmp_path / "in"
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(ScanError, match=r"no DICOM images among its 1 file.*name the folder"):
        read_scan(folder)
    (folder / "notes.txt").unlink()
    with pytest.raises(ScanError, match="folder is empty"):
        read_scan(folder)
    nothing_left()


def test_folder_with_nifti_names_the_file_to_give(
    tmp_path: Path, save: Callable[..., Path], head: np.ndarray
):
    path = save(head)
    with pytest.raises(ScanError, match=f"no DICOM images, but 1 NIfTI.*{path.name}"):
        read_scan(path.parent)


def test_a_dicom_file_stands_for_its_series(study):
    study.add(4, "T1")
    study.add(5, "t2_tse", timing_ms=(4000, 100, None))
    scan = read_scan(study.folder / "s05_003.dcm")
    assert scan.metadata["dicom_series_found"] == ["series 5 't2_tse'"]
    assert (scan.name, scan.source) == ("s05_003", study.folder / "s05_003.dcm")
    assert scan.volume.shape == study.SIZE
    other = read_scan(study.folder / "s05_020.dcm")
    assert other.metadata["sha256"] == scan.metadata["sha256"]


def without_preamble(path: Path) -> None:
    """Write a file as old senders do: the data set alone, no preamble, no file meta group."""
    image = dcmread(path)
    pydicom.dcmwrite(path, pydicom.Dataset(image), implicit_vr=True, little_endian=True)


def test_a_dicom_file_without_preamble_stands_for_its_series(study):
    study.add(4, "T1 MPRAGE")
    with_preamble = read_scan(study.folder / "s04_000.dcm")
    for path in study.folder.iterdir():
        without_preamble(path)
    named = study.folder / "s04_000.dcm"
    named = named.rename(study.folder / "IM0001")
    assert named.read_bytes()[128:132] != b"DICM"
    assert is_dicom_file(named)
    scan = read_scan(named)
    np.testing.assert_array_equal(scan.volume.data, with_preamble.volume.data)
    np.testing.assert_allclose(scan.volume.affine, with_preamble.volume.affine, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes", b"\x08\x00 something that starts as DICOM may" * 9),
        ("head.img", b"\x08\x00" * 400),
        ("head.nii.gz", b"\x1f\x8b" + bytes(400)),
        ("empty", b""),
    ],
)
def test_other_files_are_no_dicom(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    assert not is_dicom_file(tmp_path / name)


def test_files_of_one_series_stand_for_it_once(study, tmp_path):
    study.add(4, "T1", size=(36, 30, 3))
    study.add(5, "T2", size=(36, 30, 2))
    files = sorted(study.folder.iterdir())
    others = [study.folder, tmp_path / "gone.nii", tmp_path / "gone.nii"]
    kept = one_file_a_series([*files, *others])
    assert kept == [files[0], files[3], *others]


def test_a_multi_frame_file_is_read_by_its_name(study):
    file = study.add_enhanced(list(range(study.SIZE[2])))
    (study.folder / "readme.txt").write_text("hello")
    scan = read_scan(file)
    assert (scan.volume.shape, scan.sequence_hint, scan.warnings) == (study.SIZE, "FLAIR", ())


def test_a_dicom_file_without_image_is_refused(study):
    study.add(1, "T1", size=(36, 30, 1), fields={"Rows": None, "PixelData": None})
    with pytest.raises(ScanError, match="without an image that can be read; give an image"):
        read_scan(next(study.folder.iterdir()))


def test_a_deflated_series_is_read(study):
    """dcm2niix does not know it."""
    study.add(4, "T1 MPRAGE")
    plain = read_scan(study.folder)
    for path in study.folder.iterdir():
        data = dcmread(path)
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        data.save_as(path)
    scan = read_scan(study.folder)
    assert np.array_equal(scan.volume.data, plain.volume.data)
    np.testing.assert_allclose(scan.volume.affine, plain.volume.affine, atol=1e-3)
    assert scan.sequence_hint == "T1w"


def test_a_packing_that_nobody_knows_is_named(study, nothing_left: Callable[[], None]):
    study.add(4, "T1 MPRAGE")
    for path in study.folder.iterdir():
        data = dcmread(path)
        data.file_meta.TransferSyntaxUID = HTJ2KLossless
        data.PixelData = encapsulate([b"\xff\x4f\xff\x51" + b"\0" * 200])
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
    with pytest.raises(ScanError, match=r"cannot be read .*High-Throughput.*uncompressed"):
        read_scan(study.folder)
    nothing_left()


def test_nothing_that_identifies_is_told_of_a_nameless_series(study):
    study.add(4, "", fields={"SeriesDescription": None, "ProtocolName": None})
    scan = read_scan(study.folder)
    assert scan.metadata["dicom_series_found"] == ["series 4 'series_4'"]
    assert study.series_uids[4] not in str(scan.metadata) + str(scan.warnings)


def test_what_a_crash_of_the_converter_left_is_rebuilt(study, monkeypatch: pytest.MonkeyPatch):
    study.add(4, "T1 MPRAGE")
    whole = read_scan(study.folder)
    convert = dicom._convert

    def crash(folder: Path, target: Path) -> str:
        said = convert(folder, target)
        for path in target.iterdir():
            path.write_bytes(path.read_bytes()[:1000])
        return said

    monkeypatch.setattr(dicom, "_convert", crash)
    scan = read_scan(study.folder)
    assert np.array_equal(scan.volume.data, whole.volume.data)
    np.testing.assert_allclose(scan.volume.affine, whole.volume.affine, atol=1e-3)


def test_odd_values_are_no_noise(study, recwarn):
    study.add(4, "T1 MPRAGE", fields={"PatientBirthDate": "1970", "StudyDate": "someday"})
    recwarn.clear()
    assert read_scan(study.folder).warnings == ()
    assert [str(w.message) for w in recwarn] == []


def test_a_temporary_folder_without_links_gets_copies(study, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_):
        raise PermissionError(1, "no links here")

    study.add(4, "T1 MPRAGE")
    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert read_scan(study.folder).volume.shape == study.SIZE


def test_files_lie_deep_and_are_named_oddly(study):
    study.folder = study.folder / "Müller (1) & [b]" / "/".join(f"l{k}" for k in range(12))
    study.add(4, "T1 MPRAGE", copy=" é")
    assert read_scan(study.folder.parents[11]).volume.shape == study.SIZE


def test_truncated_dicom_is_refused(study, nothing_left: Callable[[], None]):
    study.add(1, "T1")
    for path in study.folder.iterdir():
        path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ScanError, match=r"no DICOM images|no structural"):
        read_scan(study.folder)
    nothing_left()


def test_slow_conversion_is_ended(
    study, nothing_left: Callable[[], None], monkeypatch: pytest.MonkeyPatch
):
    study.add(1, "T1", size=(36, 30, 2))
    monkeypatch.setattr(dicom, "TIMEOUT_SECONDS", 0.0)
    with pytest.raises(ScanError, match=r"longer than 0.0 s; name the folder of one series"):
        read_scan(study.folder)
    nothing_left()


def test_left_conversions_of_killed_runs_are_removed(
    study, nothing_left: Callable[[], None], tmp_path: Path
):
    study.add(1, "T1")
    killed = tmp_path / "temporary" / "anatomaly_dicom_killed"
    running = tmp_path / "temporary" / "anatomaly_dicom_running"
    for folder in (killed, running):
        folder.mkdir()
        (folder / "series_1.nii").write_text("a patient")
    lock = hold_lock(running)
    assert lock is not None
    read_scan(study.folder)
    assert [p.name for p in (tmp_path / "temporary").iterdir()] == [running.name]
    os.close(lock)
    read_scan(study.folder)
    nothing_left()


def test_an_overfull_folder_is_refused(study, monkeypatch: pytest.MonkeyPatch):
    study.add(1, "T1", size=(36, 30, 4))
    monkeypatch.setattr(dicom, "MAX_FILES", 3)
    with pytest.raises(ScanError, match="more than 3 files; name the folder of one study"):
        read_scan(study.folder)


def test_missing_converter_says_how_to_get_it(study, monkeypatch: pytest.MonkeyPatch):
    study.add(1, "T1", size=(36, 30, 2))
    monkeypatch.setattr(dcm2niix, "bin", "/nowhere/dcm2niix")
    with pytest.raises(ScanError, match="dcm2niix cannot be run"):
        read_scan(study.folder)


def test_two_routes_agree(study, tmp_path: Path):
    """The affine equals the one that a plain dcm2niix call gives, and pydicom's pixels are kept."""
    study.add(4, "T2 TSE")
    out = tmp_path / "plain"
    out.mkdir()
    subprocess.run([dcm2niix.bin, "-o", out, "-f", "x", study.folder], check=True, timeout=60)
    scan = read_scan(study.folder)
    plain = nib.load(next(out.glob("*.nii.gz")) if list(out.glob("*.nii.gz")) else out / "x.nii")
    assert np.array_equal(plain.affine, scan.volume.affine)
    pixels = [pydicom.dcmread(p).pixel_array for p in sorted(study.folder.iterdir())]
    assert scan.volume.data.sum(dtype=np.float64) == np.sum(pixels, dtype=np.float64)
