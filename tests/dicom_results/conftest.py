"""DICOM series of a made-up head, written with pydicom: oblique, anisotropic, in odd order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.spatial.transform import Rotation

from anatomaly.anomaly.lesions import Lesion, tabulate_lesions
from anatomaly.dicom_results.write import write_dicom_results
from anatomaly.scan.read import read_scan
from anatomaly.volume import Scan, Volume


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
    manufacturer: str = "SIEMENS"
    uids: list[str] = field(default_factory=lambda: [generate_uid() for _ in range(3)])

    BLOBS = {  # noqa: RUF012 (column, row, slice of the first voxel, then the size)
        1: ((10, 50, 3), (5, 4, 3)),
        2: ((60, 12, 21), (3, 2, 2)),
        3: ((33, 71, 11), (2, 1, 1)),
    }

    @cached_property
    def pixels(self) -> np.ndarray:
        """(slices, rows, columns) int16: noise below 400, blobs between 3000 and 3100."""
        random = np.random.default_rng(5)
        pixels = random.integers(0, 400, self.size[::-1]).astype(np.int16)
        for (column, row, k), (columns, rows, slices) in self.BLOBS.values():
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
        data.Modality, data.Manufacturer, data.MagneticFieldStrength = "MR", self.manufacturer, 3
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
        """Write one enhanced instance, its frames interleaved: even ones first."""
        folder.mkdir(parents=True, exist_ok=True)
        data = self.header(EnhancedMRImageStorage)
        data.InstanceNumber, data.NumberOfFrames = 1, self.size[2]
        up = range(self.size[2])[:: -1 if self.descending else 1]
        order = [*up[::2], *up[1::2]]
        for pointer in (0x00209056, 0x00209057):  # StackID, InStackPositionNumber
            index = Dataset()
            index.DimensionIndexPointer, index.FunctionalGroupPointer = pointer, 0x00209111
            data.setdefault("DimensionIndexSequence", []).value.append(index)
        timing, echo = Dataset(), Dataset()
        timing.RepetitionTime, echo.EffectiveEchoTime = 9000.0, 90.0
        shared = Dataset()
        shared.MRTimingAndRelatedParametersSequence, shared.MREchoSequence = [timing], [echo]
        data.SharedFunctionalGroupsSequence = [shared]
        data.PerFrameFunctionalGroupsSequence = [self._frame_groups(k) for k in order]
        data.PixelData = self.pixels[order].tobytes()
        data.save_as(folder / "enhanced.dcm", enforce_file_format=True)
        return folder

    def _frame_groups(self, k: int) -> Dataset:
        groups, content = Dataset(), Dataset()
        position, orientation, measures = Dataset(), Dataset(), Dataset()
        self.place(position, orientation, measures, k)
        content.StackID, content.InStackPositionNumber = "1", k + 1
        content.DimensionIndexValues = [1, k + 1]
        groups.FrameContentSequence = [content]
        groups.PlanePositionSequence = [position]
        groups.PlaneOrientationSequence = [orientation]
        groups.PixelMeasuresSequence = [measures]
        return groups


PHILIPS = "Philips Medical Systems"
"""dcm2niix sorts the frames of their enhanced instances only."""

HEADS = {
    "ascending": Head(),
    "descending": Head(descending=True, degrees=(-25.0, 14.0, 33.0)),
    "sagittal": Head(degrees=(4.0, 85.0, -93.0), origin_lps_mm=(31.0, 22.5, -60.0)),
    "coronal": Head(degrees=(-86.0, 5.0, 8.0), descending=True),
    "enhanced": Head(degrees=(10.0, -22.0, 3.0), manufacturer=PHILIPS),
    "enhanced-descending": Head(descending=True, spacing_mm=(1.1, 0.8, 2.7), manufacturer=PHILIPS),
}


@dataclass(frozen=True)
class Case:
    """A head, its DICOM files and the scan that was read from them."""

    head: Head
    folder: Path
    scan: Scan

    @cached_property
    def instances(self) -> dict[str, Dataset]:
        return {data.SOPInstanceUID: data for data in map(dcmread, self.folder.iterdir())}


def read_case(head: Head, folder: Path, enhanced: bool = False) -> Case:
    (head.write_enhanced if enhanced else head.write)(folder)
    return Case(head, folder, read_scan(folder))


@pytest.fixture(scope="session", params=HEADS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param) / "series"
    return read_case(HEADS[request.param], folder, enhanced="enhanced" in request.param)


RUN = {
    "weights": {"name": "synthetic-9", "sha256": "ab" * 32, "scorer_sha256": "cd" * 32},
    "versions": {"anatomaly": "9.8.7"},
    "sequence": "FLAIR",
    "threshold": 0.625,
}


@dataclass(frozen=True)
class Frame:
    """One frame of a result: its groups, its pixels, and the pixels of the image it names."""

    shared: Dataset
    own: Dataset
    pixels: np.ndarray
    source_pixels: np.ndarray

    @property
    def segment(self) -> int:
        groups = self.own if "SegmentIdentificationSequence" in self.own else self.shared
        return int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)

    def lps_mm(self, row: np.ndarray, column: np.ndarray) -> np.ndarray:
        """Where voxels lie by the functional groups, PS3.3 C.7.6.2.1.1; (n, 3)."""
        axes = np.array(self.shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        between_rows, between_columns = self.shared.PixelMeasuresSequence[0].PixelSpacing
        origin = np.array(self.own.PlanePositionSequence[0].ImagePositionPatient, float)
        along = np.outer(column * float(between_columns), axes[:3])
        return origin + along + np.outer(row * float(between_rows), axes[3:])


@dataclass(frozen=True)
class Result:
    """What was found in a case, and where its DICOM files lie."""

    case: Case
    anomaly_map: Volume
    anomaly_mask: Volume
    lesions: tuple[Lesion, ...]
    folder: Path

    def dataset(self, name: str) -> Dataset:
        return dcmread(self.folder / name)

    def frames(self, name: str) -> Iterator[Frame]:
        """Read the frames of a file from its bytes and groups, without highdicom."""
        data = self.dataset(name)
        shape = (int(data.NumberOfFrames), data.Rows, data.Columns)
        if "FloatPixelData" in data:
            values = np.frombuffer(data.FloatPixelData, "<f4").reshape(shape)
        else:
            bits = np.unpackbits(np.frombuffer(data.PixelData, np.uint8), bitorder="little")
            values = bits[: np.prod(shape)].reshape(shape)
        shared = data.SharedFunctionalGroupsSequence[0]
        for own, pixels in zip(data.PerFrameFunctionalGroupsSequence, values, strict=True):
            made_of = own.DerivationImageSequence[0].SourceImageSequence[0]
            instance = self.case.instances[made_of.ReferencedSOPInstanceUID]
            assert made_of.ReferencedSOPClassUID == instance.SOPClassUID
            stored = np.frombuffer(instance.PixelData, "<u2").reshape(-1, *pixels.shape)
            number = made_of.get("ReferencedFrameNumber", 1)
            yield Frame(shared, own, pixels, stored[int(number) - 1])


def find_in(case: Case, folder: Path, threshold: float = 0.625) -> Result:
    """The scan itself, scaled to [0, 1], is the map: noise below .13, blobs above .96."""
    data = case.scan.volume.data
    anomaly_map = case.scan.volume.with_data((data / 3100).astype(np.float32))
    mask = case.scan.volume.with_data((anomaly_map.data > threshold).astype(np.uint8))
    lesions = tabulate_lesions(anomaly_map, mask, anomaly_map, np.eye(4))
    write_dicom_results(folder, case.scan, anomaly_map, mask, lesions, RUN)
    return Result(case, anomaly_map, mask, lesions, folder)


@pytest.fixture(scope="session")
def make_head() -> type[Head]:
    return Head


@pytest.fixture(scope="session")
def find() -> Callable[..., Result]:
    def find_in_series(head: Head, series: Path, folder: Path, threshold: float) -> Result:
        return find_in(Case(head, series, read_scan(series)), folder, threshold)

    return find_in_series


@pytest.fixture(scope="session")
def result(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return find_in(case, tmp_path_factory.mktemp("result"))
