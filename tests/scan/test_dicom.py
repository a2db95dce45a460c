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
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.spatial.transform import Rotation

from anatomaly.errors import ScanError
from anatomaly.leftovers import hold_lock
from anatomaly.scan import dicom
from anatomaly.scan.read import read_scan

SIZE = (36, 30, 24)  # columns, rows, slices
SPACING_MM = (5.0, 6.0, 7.5)  # along columns, along rows, between slices
MARKER = (25, 6, 17)  # column, row, slice


class Study:
    """Writes series of one patient; columns run to the patient's left, oblique by some degrees."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.study_uid = generate_uid()
        self.frame_uid = generate_uid()
        self.rotation = Rotation.from_euler("xyz", [12, -7, 20], degrees=True).as_matrix()
        self.origin = np.array([-95.0, -80.0, -60.0])

    def patient_mm(self, column: float, row: float, k: float) -> np.ndarray:
        """DICOM's own formula (PS3.3 C.7.6.2.1.1): LPS mm, returned as RAS mm."""
        step = self.rotation @ (np.array(SPACING_MM) * (column, row, k))
        return (self.origin + step) * (-1, -1, 1)

    def add(
        self,
        number: int,
        description: str,
        *,
        size: tuple[int, int, int] = SIZE,
        modality: str = "MR",
        image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "M", "ND"),
        acquisition: str = "2D",
        timing_ms: tuple[float, float, float | None] = (2300.0, 2.9, 900.0),
        patient: str = "somebody",
    ) -> None:
        random = np.random.default_rng(number)
        series_uid = generate_uid()
        self.folder.mkdir(parents=True, exist_ok=True)
        for k in range(size[2]):
            pixels = random.integers(0, 400, (size[1], size[0])).astype(np.int16)
            if k == MARKER[2]:
                pixels[MARKER[1], MARKER[0]] = 3000
            data = self._slice(series_uid, k, modality)
            data.SeriesNumber, data.SeriesDescription, data.ProtocolName = (
                number,
                description,
                description,
            )
            data.PatientID = data.PatientName = patient
            data.ImageType = list(image_type)
            if modality == "MR":
                data.MRAcquisitionType = acquisition
                data.RepetitionTime, data.EchoTime = timing_ms[0], timing_ms[1]
                if timing_ms[2] is not None:
                    data.InversionTime = timing_ms[2]
            else:
                data.RescaleIntercept, data.RescaleSlope, data.KVP = -1024, 1, 120
            data.Rows, data.Columns = size[1], size[0]
            data.PixelData = pixels.tobytes()
            data.save_as(self.folder / f"s{number:02d}_{k:03d}.dcm", enforce_file_format=True)

    def _slice(self, series_uid: str, k: int, modality: str) -> FileDataset:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID = meta.MediaStorageSOPClassUID
        data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID = self.study_uid, series_uid
        data.FrameOfReferenceUID = self.frame_uid
        data.Modality, data.Manufacturer = modality, "SIEMENS"
        data.MagneticFieldStrength, data.ScanningSequence = 3, "GR"
        data.StudyDate = data.SeriesDate = data.AcquisitionDate = "20200102"
        data.StudyTime = data.SeriesTime = data.AcquisitionTime = "101500"
        data.AcquisitionNumber, data.InstanceNumber = 1, k + 1
        data.ImagePositionPatient = [
            float(f"{v:.8g}")
            for v in self.origin + self.rotation @ (np.array(SPACING_MM) * (0, 0, k))
        ]
        data.ImageOrientationPatient = [
            float(f"{v:.8g}") for v in (*self.rotation[:, 0], *self.rotation[:, 1])
        ]
        data.PixelSpacing = [SPACING_MM[1], SPACING_MM[0]]  # between rows, between columns
        data.SliceThickness = data.SpacingBetweenSlices = SPACING_MM[2]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelRepresentation = 1
        return data


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "in" / "study")


def test_oblique_anisotropic_series_lies_where_dicom_says(
    study: Study, nothing_left: Callable[[], None]
):
    study.add(4, "T1_MPRAGE_sag")
    scan = read_scan(study.folder)
    brightest = np.unravel_index(np.argmax(scan.volume.data), scan.volume.shape)
    found = scan.volume.affine @ (*brightest, 1)
    assert scan.volume.data.max() == 3000
    np.testing.assert_allclose(found[:3], study.patient_mm(*MARKER), atol=0.01)
    np.testing.assert_allclose(sorted(scan.volume.spacing_mm), sorted(SPACING_MM), atol=1e-3)
    assert sorted(scan.volume.shape) == sorted(SIZE)
    assert scan.sequence_hint == "T1w"
    assert scan.name == "study"
    assert scan.source == study.folder
    assert scan.metadata["dicom_series"]["SeriesNumber"] == 4
    assert len(scan.metadata["sha256"]) == 64
    assert "somebody" not in str(scan.metadata) + str(scan.warnings)
    nothing_left()


def test_best_of_several_series_is_taken_and_named(study: Study):
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


def test_sequence_from_timing_where_the_description_is_silent(study: Study):
    study.add(3, "AXIAL HEAD", timing_ms=(9000, 120, 2500))
    assert read_scan(study.folder).sequence_hint == "FLAIR"


def test_only_a_derived_series_is_taken_with_a_warning(study: Study):
    study.add(7, "t1_space", image_type=("DERIVED", "SECONDARY", "MPR"))
    assert any("derived" in warning for warning in read_scan(study.folder).warnings)


def test_missing_slices_keep_the_geometry_right(study: Study):
    """dcm2niix closes the gap in one of its two outputs; the marker behind it would move 7.5 mm."""
    study.add(4, "T1 MPRAGE")
    (study.folder / "s04_010.dcm").unlink()
    scan = read_scan(study.folder)
    weights = np.where(scan.volume.data > 1000, scan.volume.data, 0)
    centre = np.array([np.average(i, weights=weights) for i in np.indices(weights.shape)])
    found = scan.volume.affine @ (*centre, 1)
    np.testing.assert_allclose(found[:3], study.patient_mm(*MARKER), atol=2.0)
    assert any("missing or unevenly spaced slices" in warning for warning in scan.warnings)
    assert scan.metadata["dicom_series_found"] == ["series 4 'T1 MPRAGE'"]
    assert scan.metadata["dicom_series"]["SeriesNumber"] == 4


def test_missing_slices_that_cannot_be_interpolated_are_refused(study: Study):
    """dcm2niix interpolates signed pixels alone; of unsigned ones it leaves a wrong geometry."""
    study.add(4, "T1 MPRAGE")
    (study.folder / "s04_010.dcm").unlink()
    for path in study.folder.iterdir():
        data = dcmread(path)
        data.PixelRepresentation = 0
        data.save_as(path)
    with pytest.raises(ScanError, match="slices are missing or unevenly spaced"):
        read_scan(study.folder)


def test_a_series_without_a_sidecar_does_not_borrow_that_of_another(tmp_path):
    for name in ("series_2", "series_2a", "series_20", "series_20_Eq_1"):
        nib.save(
            nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), tmp_path / f"{name}.nii"
        )
    told = {"PatientID": "one", "SeriesNumber": 2}
    (tmp_path / "series_2.json").write_text(json.dumps(told), encoding="utf-8")
    owners = {p.stem: dicom._series(p)[1] for p in sorted(tmp_path.glob("*.nii"))}
    assert owners == {"series_2": "one", "series_2a": "one", "series_20": "", "series_20_Eq_1": ""}


def test_missing_slices_do_not_hide_a_ct(study: Study):
    study.add(4, "head", modality="CT")
    (study.folder / "s04_010.dcm").unlink()
    with pytest.raises(ScanError, match="modality CT"):
        read_scan(study.folder)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ({"description": "HEAD CT", "modality": "CT"}, "modality CT.*T1w, T2w or FLAIR"),
        ({"description": "dwi_b1000"}, "diffusion"),
        ({"description": "t1_slab", "size": (36, 30, 7)}, "covers only .*52 mm"),
        ({"description": "t1", "image_type": ("ORIGINAL", "PRIMARY", "P")}, "image type P"),
    ],
)
def test_no_structural_series_is_refused(
    study: Study, nothing_left: Callable[[], None], series: dict, message: str
):
    study.add(2, **series)
    with pytest.raises(ScanError, match=message):
        read_scan(study.folder)
    nothing_left()


def test_several_patients_are_refused(study: Study, nothing_left: Callable[[], None]):
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


def test_single_dicom_file_is_sent_to_its_folder(study: Study):
    study.add(1, "T1", size=(36, 30, 1))
    with pytest.raises(ScanError, match="single DICOM file; give the folder"):
        read_scan(next(study.folder.iterdir()))


def test_truncated_dicom_is_refused(study: Study, nothing_left: Callable[[], None]):
    study.add(1, "T1")
    for path in study.folder.iterdir():
        path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ScanError, match=r"no DICOM images|no structural"):
        read_scan(study.folder)
    nothing_left()


def test_slow_conversion_is_ended(
    study: Study, nothing_left: Callable[[], None], monkeypatch: pytest.MonkeyPatch
):
    study.add(1, "T1", size=(36, 30, 2))
    monkeypatch.setattr(dicom, "TIMEOUT_SECONDS", 0.0)
    with pytest.raises(ScanError, match=r"longer than 0.0 s; name the folder of one series"):
        read_scan(study.folder)
    nothing_left()


def test_left_conversions_of_killed_runs_are_removed(
    study: Study, nothing_left: Callable[[], None], tmp_path: Path
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


def test_an_overfull_folder_is_refused(study: Study, monkeypatch: pytest.MonkeyPatch):
    study.add(1, "T1", size=(36, 30, 4))
    monkeypatch.setattr(dicom, "MAX_FILES", 3)
    with pytest.raises(ScanError, match="more than 3 files; name the folder of one study"):
        read_scan(study.folder)


def test_missing_converter_says_how_to_get_it(study: Study, monkeypatch: pytest.MonkeyPatch):
    study.add(1, "T1", size=(36, 30, 2))
    monkeypatch.setattr(dcm2niix, "bin", "/nowhere/dcm2niix")
    with pytest.raises(ScanError, match="dcm2niix cannot be run"):
        read_scan(study.folder)


def test_two_routes_agree(study: Study, tmp_path: Path):
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
