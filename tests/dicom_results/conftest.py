"""DICOM series of a made-up head, written with pydicom: oblique, anisotropic, in odd order."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.spatial.transform import Rotation

from anatomaly.scan.read import read_scan
from anatomaly.volume import Scan

BLOBS = {  # column, row, slice of the first voxel, and size: the largest is lesion 1
    1: ((10, 50, 3), (5, 4, 3)),
    2: ((60, 12, 21), (3, 2, 2)),
    3: ((33, 71, 11), (2, 1, 1)),
}


@dataclass
class Head:
    """Voxels of a series and where each lies.

    `number` gives the instance number of slice k, counted along the normal of the slices.
    """

    size: tuple[int, int, int] = (72, 80, 26)  # columns, rows, slices
    spacing_mm: tuple[float, float, float] = (0.9, 0.9, 3.0)
    degrees: tuple[float, float, float] = (12.0, -7.0, 20.0)
    origin_lps_mm: tuple[float, float, float] = (-41.3, -52.7, -19.1)
    shear_mm: float = 0.0
    descending: bool = False
    uids: list[str] = field(default_factory=lambda: [generate_uid() for _ in range(3)])

    @cached_property
    def pixels(self) -> np.ndarray:
        """(slices, rows, columns) int16: noise below 400, blobs between 3000 and 3100."""
        random = np.random.default_rng(5)
        pixels = random.integers(0, 400, self.size[::-1]).astype(np.int16)
        for (column, row, k), (columns, rows, slices) in BLOBS.values():
            where = np.s_[k : k + slices, row : row + rows, column : column + columns]
            pixels[where] = random.integers(3000, 3100, (slices, rows, columns))
        return pixels

    @property
    def rotation(self) -> np.ndarray:
        return Rotation.from_euler("xyz", self.degrees, degrees=True).as_matrix()

    def lps_mm(self, column: float, row: float, k: float) -> np.ndarray:
        """Where a voxel lies, by the formula of PS3.3 C.7.6.2.1.1."""
        step = np.array([column, row, k]) * self.spacing_mm
        shear = self.rotation[:, 1] * self.shear_mm * k
        return np.array(self.origin_lps_mm) + self.rotation @ step + shear

    def position(self, k: int) -> list[float]:
        return [float(f"{v:.9g}") for v in self.lps_mm(0, 0, k)]

    @property
    def orientation(self) -> list[float]:
        return [float(f"{v:.9g}") for v in (*self.rotation[:, 0], *self.rotation[:, 1])]

    def number(self, k: int) -> int:
        """Instance numbers with gaps, up or down the stack."""
        return 7 + 3 * (self.size[2] - 1 - k if self.descending else k)

    def header(self, sop_class: str) -> FileDataset:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = sop_class
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = self.uids
        data.PatientName, data.PatientID = "Doe^Jane", "J1"
        data.Modality, data.Manufacturer, data.MagneticFieldStrength = "MR", "SIEMENS", 3
        data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = "20200102"
        data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = "101500"
        data.SeriesNumber, data.SeriesDescription, data.ProtocolName = 4, "T2 FLAIR", "T2 FLAIR"
        data.ImageType, data.AcquisitionNumber = ["ORIGINAL", "PRIMARY", "M", "ND"], 1
        data.Rows, data.Columns = self.size[1], self.size[0]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelRepresentation = 0
        return data

    def place(self, position: Dataset, orientation: Dataset, measures: Dataset, k: int) -> None:
        position.ImagePositionPatient = self.position(k)
        orientation.ImageOrientationPatient = self.orientation
        measures.PixelSpacing = [self.spacing_mm[1], self.spacing_mm[0]]
        measures.SliceThickness = measures.SpacingBetweenSlices = self.spacing_mm[2]

    def write(self, folder: Path, echo_ms: float = 90.0) -> Path:
        """Write one instance a slice; names of files in yet another order."""
        folder.mkdir(parents=True, exist_ok=True)
        shuffled = np.random.default_rng(3).permutation(self.size[2])
        for k in range(self.size[2]):
            data = self.header(MRImageStorage)
            self.place(data, data, data, k)
            data.InstanceNumber, data.ScanningSequence = self.number(k), "SE"
            data.RepetitionTime, data.EchoTime, data.InversionTime = 9000, echo_ms, 2500
            data.PixelData = self.pixels[k].tobytes()
            data.save_as(folder / f"{shuffled[k]:03d}_{echo_ms:g}.dcm", enforce_file_format=True)
        return folder

    def write_enhanced(self, folder: Path) -> Path:
        """Write one enhanced instance; its frames down the stack if `descending`."""
        folder.mkdir(parents=True, exist_ok=True)
        data = self.header(EnhancedMRImageStorage)
        data.InstanceNumber, data.NumberOfFrames = 1, self.size[2]
        order = range(self.size[2])[:: -1 if self.descending else 1]
        index = Dataset()
        index.DimensionIndexPointer = 0x00200032
        index.FunctionalGroupPointer = 0x00209113
        data.DimensionIndexSequence = [index]
        timing, echo = Dataset(), Dataset()
        timing.RepetitionTime, echo.EffectiveEchoTime = 9000.0, 90.0
        shared = Dataset()
        shared.MRTimingAndRelatedParametersSequence, shared.MREchoSequence = [timing], [echo]
        data.SharedFunctionalGroupsSequence = [shared]
        data.PerFrameFunctionalGroupsSequence = [
            self._frame_groups(place, k) for place, k in enumerate(order, start=1)
        ]
        data.PixelData = self.pixels[list(order)].tobytes()
        data.save_as(folder / "enhanced.dcm", enforce_file_format=True)
        return folder

    def _frame_groups(self, place: int, k: int) -> Dataset:
        groups, content = Dataset(), Dataset()
        position, orientation, measures = Dataset(), Dataset(), Dataset()
        self.place(position, orientation, measures, k)
        content.StackID, content.InStackPositionNumber = "1", place
        content.DimensionIndexValues = [place]
        groups.FrameContentSequence = [content]
        groups.PlanePositionSequence = [position]
        groups.PlaneOrientationSequence = [orientation]
        groups.PixelMeasuresSequence = [measures]
        return groups


HEADS = {
    "ascending": Head(),
    "descending": Head(descending=True, degrees=(-25.0, 14.0, 33.0)),
    "sagittal": Head(degrees=(4.0, 85.0, -93.0), origin_lps_mm=(31.0, 22.5, -60.0)),
    "coronal": Head(degrees=(-86.0, 5.0, 8.0), descending=True),
    "enhanced": Head(degrees=(10.0, -22.0, 3.0)),
    "enhanced-descending": Head(descending=True, spacing_mm=(1.1, 0.8, 2.7)),
}


@dataclass(frozen=True)
class Case:
    """A head, its DICOM files and the scan that was read from them."""

    head: Head
    folder: Path
    scan: Scan


@pytest.fixture(scope="session", params=HEADS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    head = HEADS[request.param]
    folder = tmp_path_factory.mktemp(request.param) / "series"
    (head.write_enhanced if "enhanced" in request.param else head.write)(folder)
    return Case(head, folder, read_scan(folder))
