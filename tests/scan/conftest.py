"""Synthetic heads: noise in an ellipsoid on an oblique, anisotropic grid, origin off zero.

And small DICOM series, written with pydicom.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from scipy.spatial.transform import Rotation

SHAPE = (40, 49, 33)
SPACING_MM = (4.0, 3.5, 5.25)


@pytest.fixture
def head() -> NDArray[np.float32]:
    """(40, 49, 33) float32: air 0, a noisy ellipsoid around 300."""
    random = np.random.default_rng(7)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    inside = (grid**2).sum(axis=0) < 0.8
    return np.where(inside, random.normal(300, 60, SHAPE), 0).astype(np.float32)


@pytest.fixture
def oblique() -> NDArray[np.float64]:
    """An oblique affine that float32 holds exactly, left-handed, origin far from zero."""
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", [17, -9, 31], degrees=True).as_matrix()
    affine[:3, :3] = rotation @ np.diag(SPACING_MM) @ np.diag([-1, 1, 1])
    affine[:3, 3] = (71.3, -102.7, -33.9)
    return affine.astype(np.float32).astype(np.float64)


@pytest.fixture
def save(tmp_path: Path, oblique: NDArray[np.float64]) -> Callable[..., Path]:
    """Write an array as NIfTI into a folder of its own and return the path."""

    def write(
        data: NDArray[np.generic],
        name: str = "scan.nii.gz",
        affine: NDArray[np.float64] | None = None,
        sform_code: int = 1,
        qform_code: int = 1,
        unit: str = "mm",
    ) -> Path:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        where = oblique if affine is None else affine
        header = nib.Nifti1Image(data, where).header
        header.set_xyzt_units(unit, "sec")
        header.set_qform(where, qform_code)
        header["sform_code"] = sform_code
        nib.Nifti1Image(data, None, header).to_filename(folder / name)
        return folder / name

    return write


@pytest.fixture
def poke() -> Callable[..., Path]:
    """Overwrite header fields of an uncompressed NIfTI-1 file, past nibabel's care."""

    def overwrite(path: Path, **fields: object) -> Path:
        content = bytearray(path.read_bytes())
        header = nib.Nifti1Header(bytes(content[:348]), check=False)
        for key, value in fields.items():
            header[key] = value
        content[:348] = header.binaryblock
        path.write_bytes(content)
        return path

    return overwrite


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call after a refusal: no file appeared beside the input or in the temporary folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    inputs = tmp_path / "in"
    inputs.mkdir(exist_ok=True)

    def check() -> None:
        assert list(temporary.iterdir()) == []
        assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "temporary"]

    return check


class Study:
    """Writes series of one patient; columns run to the patient's left, oblique by some degrees."""

    SIZE = (36, 30, 24)  # columns, rows, slices
    SPACING_MM = (5.0, 6.0, 7.5)  # along columns, along rows, between slices
    MARKER = (25, 6, 17)  # column, row, slice

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.study_uid = generate_uid()
        self.frame_uid = generate_uid()
        self.rotation = Rotation.from_euler("xyz", [12, -7, 20], degrees=True).as_matrix()
        self.origin = np.array([-95.0, -80.0, -60.0])
        self.series_uids: dict[int, str] = {}

    def patient_mm(self, column: float, row: float, k: float) -> np.ndarray:
        """DICOM's own formula (PS3.3 C.7.6.2.1.1): LPS mm, returned as RAS mm."""
        step = self.rotation @ (np.array(self.SPACING_MM) * (column, row, k))
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
        skip: tuple[int, ...] = (),
        copy: str = "",
        scale: float = 1.0,
        fields: dict[str, Any] | None = None,
    ) -> None:
        """Write a series; `fields` go into every header, None removes one.

        A second call with another `copy` writes the same series again, under other names and
        instance UIDs.
        """
        random = np.random.default_rng(number)
        series_uid = self.series_uids.setdefault(number, generate_uid())
        self.folder.mkdir(parents=True, exist_ok=True)
        for k in range(size[2]):
            pixels = random.integers(0, 400, (size[1], size[0])).astype(np.int16)
            if k == self.MARKER[2]:
                pixels[self.MARKER[1], self.MARKER[0]] = 3000
            if k in skip:
                continue
            pixels = np.rint(pixels * scale).astype(np.int16)
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
            _set(data, fields or {})
            name = f"s{number:02d}{copy}_{k:03d}.dcm"
            data.save_as(self.folder / name, enforce_file_format=True)

    def add_enhanced(
        self,
        order: list[int],
        numbered: Callable[[int, int], int] = lambda frame, k: frame + 1,
        manufacturer: str = "Philips Medical Systems",
        volumes: int = 1,
    ) -> Path:
        """Write one multi-frame FLAIR; its frames lie at the places that `order` names.

        Args:
            order: slice of each frame.
            numbered: dimension index of a frame, from its number and its slice.
            manufacturer: dcm2niix sorts the frames of some.
            volumes: how often the frames are repeated, each time half as bright.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(7)
        pixels = random.integers(0, 400, (self.SIZE[2], self.SIZE[1], self.SIZE[0])).astype(
            np.int16
        )
        pixels[self.MARKER[2], self.MARKER[1], self.MARKER[0]] = 3000
        data = self._slice(generate_uid(), 0, "MR")
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            delattr(data, name)
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
        data.Manufacturer, data.PatientID, data.PatientName = manufacturer, "somebody", "somebody"
        data.SeriesNumber, data.SeriesDescription, data.ProtocolName = 4, "FLAIR", "FLAIR"
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
        data.Rows, data.Columns, data.NumberOfFrames = (
            self.SIZE[1],
            self.SIZE[0],
            len(order) * volumes,
        )
        timing, echo, shared = Dataset(), Dataset(), Dataset()
        timing.RepetitionTime, echo.EffectiveEchoTime = 9000.0, 120.0
        shared.MRTimingAndRelatedParametersSequence, shared.MREchoSequence = [timing], [echo]
        data.SharedFunctionalGroupsSequence = [shared]
        for pointer in (0x00209056, 0x00209057):  # StackID, InStackPositionNumber
            index = Dataset()
            index.DimensionIndexPointer, index.FunctionalGroupPointer = pointer, 0x00209111
            data.setdefault("DimensionIndexSequence", []).value.append(index)
        data.PerFrameFunctionalGroupsSequence = [
            self._groups(k, numbered(n, k)) for _ in range(volumes) for n, k in enumerate(order)
        ]
        data.PixelData = b"".join((pixels[order] // 2**v).tobytes() for v in range(volumes))
        data.save_as(self.folder / "enhanced.dcm", enforce_file_format=True)
        return self.folder / "enhanced.dcm"

    def _groups(self, k: int, number: int) -> Dataset:
        """Place of one frame of a multi-frame image."""
        groups, content, place = Dataset(), Dataset(), self._slice("1", k, "MR")
        content.StackID, content.InStackPositionNumber = "1", k + 1
        content.DimensionIndexValues = [1, number]
        position, orientation, measures = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = place.ImagePositionPatient
        orientation.ImageOrientationPatient = place.ImageOrientationPatient
        measures.PixelSpacing, measures.SliceThickness = place.PixelSpacing, self.SPACING_MM[2]
        groups.FrameContentSequence = [content]
        groups.PlanePositionSequence = [position]
        groups.PlaneOrientationSequence = [orientation]
        groups.PixelMeasuresSequence = [measures]
        return groups

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
            for v in self.origin + self.rotation @ (np.array(self.SPACING_MM) * (0, 0, k))
        ]
        data.ImageOrientationPatient = [
            float(f"{v:.8g}") for v in (*self.rotation[:, 0], *self.rotation[:, 1])
        ]
        data.PixelSpacing = [
            self.SPACING_MM[1],
            self.SPACING_MM[0],
        ]  # between rows, between columns
        data.SliceThickness = data.SpacingBetweenSlices = self.SPACING_MM[2]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelRepresentation = 1
        return data


def _set(data: Dataset, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """An empty study in a folder of its own."""
    return Study(tmp_path / "in" / "study")
