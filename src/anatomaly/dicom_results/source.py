"""Which DICOM instances a scan was converted from, and how its grid lies on their frames.

Positions follow DICOM PS3.3 C.7.6.2.1.1 (Image Plane) and C.7.6.16.2 (functional groups).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from anatomaly.errors import DicomError
from anatomaly.geometry import apply_affine, flip_lps_ras
from anatomaly.scan.dicom import files_of
from anatomaly.types import FloatArray
from anatomaly.volume import Scan, Volume

if TYPE_CHECKING:
    from pydicom import Dataset

TOLERANCE_MM = 0.05
"""How far a corner of a frame may lie from the scan's grid: NIfTI affines are 32-bit, and scanners
round positions; what dcm2niix resamples (uneven or tilted slices) is off by far more."""

_EMPTY_IF_ABSENT = (
    "AccessionNumber", "PatientBirthDate", "PatientID", "PatientName", "PatientSex",
    "ReferringPhysicianName", "StudyDate", "StudyID", "StudyTime",
)  # fmt: skip
"""Patient and study fields that must be there but may be empty (DICOM type 2)."""


@dataclass(frozen=True)
class SourceFrames:
    """The frames of a series in the order in which `stack` returns slices.

    Attributes:
        images: headers without pixels: one for each slice, or one enhanced instance with all.
        axes: nibabel orientation (3, 2) that turns the scan's axes into column, row, position.
        order: position of each frame along the stack, shape (frames,).
    """

    images: tuple[Dataset, ...]
    axes: np.ndarray[Any, Any]
    order: np.ndarray[Any, Any]

    def stack(self, data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Turn an array on the scan's grid, (I, J, K), into frames, (frames, rows, columns)."""
        turned: np.ndarray[Any, Any] = nib.apply_orientation(data, self.axes)
        return np.ascontiguousarray(turned.transpose(2, 1, 0)[self.order])


@dataclass(frozen=True)
class _Frame:
    """Where one frame lies (LPS mm) and which echo it is."""

    image: Dataset
    position_mm: FloatArray
    row_axis: FloatArray
    column_axis: FloatArray
    spacing_mm: tuple[float, float]  # between columns, between rows
    echo_ms: float | None

    def corners_mm(self) -> FloatArray:
        """Return the first voxel, the last of the first row, the first of the last row; LPS mm."""
        along = self.row_axis * self.spacing_mm[0] * (self.image.Columns - 1)
        down = self.column_axis * self.spacing_mm[1] * (self.image.Rows - 1)
        return np.stack([self.position_mm, self.position_mm + along, self.position_mm + down])


def source_frames(scan: Scan) -> SourceFrames:
    """Find the instances that a scan was converted from; each slice gets the frame that it was.

    The folder is searched again for the series; slices and frames are paired by where they lie,
    so that the order of files, instance numbers and the flips of the conversion play no part.

    Raises:
        DicomError: the scan is no DICOM series, or its grid is not that of the instances: slices
            missing, uneven or tilted (dcm2niix resamples these), or several images at one place.
    """
    if scan.source is None or not scan.source.is_dir():
        raise DicomError(
            f"{scan.name}: DICOM results refer to DICOM instances, and this scan is none; give the "
            "DICOM folder itself, or leave dicom out of the outputs"
        )
    if scan.series_uid is None:
        raise DicomError(_other_grid(scan, "dcm2niix could not tell which series it is"))
    images = _images_of(scan.source, scan.series_uid)
    if not images:
        raise DicomError(
            f"{scan.source}: the DICOM files of the series are no longer there; put them back, or "
            "leave dicom out of the outputs"
        )
    for name in ("FrameOfReferenceUID", "StudyInstanceUID"):
        if not images[0].get(name):
            raise DicomError(
                f"{scan.source}: the instances have no {name}, without which nothing can refer to "
                "them in space; leave dicom out of the outputs"
            )
    try:
        frames = [frame for image in images for frame in _frames_of(image)]
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise DicomError(
            f"{scan.source}: an instance does not say where it lies ({error}); DICOM results need "
            "position, orientation and pixel spacing of every frame"
        ) from error
    return _lay(frames, scan)


def _images_of(folder: Path, series_uid: str) -> list[Dataset]:
    """Return the headers of a series, each instance once; other files are passed over."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    images: dict[str, Dataset] = {}
    for path in files_of(folder):
        try:
            tag = dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
            if tag.get("SeriesInstanceUID") != series_uid:
                continue
            image = dcmread(path, stop_before_pixels=True)
            images[image.SOPInstanceUID] = image
        except (AttributeError, InvalidDicomError, OSError):
            continue
    return list(images.values())


def _frames_of(image: Dataset) -> Iterator[_Frame]:
    """Yield the frames of a classic or an enhanced instance.

    Raises:
        AttributeError: a field is absent.
    """
    if "PerFrameFunctionalGroupsSequence" not in image:
        echo = image.get("EchoTime")
        yield _frame(image, image, image, image, echo)
        return
    shared = image.get("SharedFunctionalGroupsSequence") or [{}]
    for own in image.PerFrameFunctionalGroupsSequence:

        def group(name: str, own: Any = own) -> Any:
            found = own.get(name) or shared[0].get(name)
            if not found:
                raise AttributeError(f"no {name}")
            return found[0]

        echo = own.get("MREchoSequence") or shared[0].get("MREchoSequence")
        yield _frame(
            image,
            group("PlanePositionSequence"),
            group("PlaneOrientationSequence"),
            group("PixelMeasuresSequence"),
            echo[0].get("EffectiveEchoTime") if echo else None,
        )


def _frame(image: Dataset, position: Any, orientation: Any, measures: Any, echo: Any) -> _Frame:
    """Read one frame from the datasets that hold its parts."""
    axes = np.array(orientation.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    between_rows, between_columns = (float(v) for v in measures.PixelSpacing)
    return _Frame(
        image,
        np.array(position.ImagePositionPatient, dtype=np.float64).reshape(3),
        axes[0],
        axes[1],
        (between_columns, between_rows),
        None if echo is None else float(echo),
    )


def _lay(frames: list[_Frame], scan: Scan) -> SourceFrames:
    """Pair frames and slices by position."""
    grid = scan.volume
    frames = _of_echo(frames, scan)
    first = frames[0]
    normal = np.cross(first.row_axis, first.column_axis)
    place = np.argsort([frame.position_mm @ normal for frame in frames], kind="stable")
    rough = np.eye(4)
    rough[:3, :3] = flip_lps_ras(np.stack([first.row_axis, first.column_axis, normal])).T
    axes = nib.io_orientation(np.linalg.inv(rough) @ grid.affine)
    ordered = [frames[index] for index in place]
    _check_grid(ordered, grid, axes, scan)
    for frame in ordered:
        _complete(frame.image, first, float(grid.spacing_mm[np.argmax(axes[:, 0] == 2)]))
    if len({id(frame.image) for frame in ordered}) == len(ordered):
        return SourceFrames(tuple(f.image for f in ordered), axes, np.arange(len(ordered)))
    image = first.image
    if any(frame.image is not image for frame in ordered) or len(ordered) != image.NumberOfFrames:
        raise DicomError(
            f"{scan.source}: the slices come from several multi-frame instances, or from a part of "
            "one; DICOM results need one instance a slice, or one enhanced instance with exactly "
            "the slices of the scan"
        )
    return SourceFrames((image,), axes, np.argsort(place))


def _complete(image: Dataset, first: _Frame, thickness_mm: float) -> None:
    """Put into a header, in memory, what highdicom asks of it and scanners may leave out.

    The grid was checked before, so that orientation and pixel spacing of one frame hold for all.
    """
    for name in _EMPTY_IF_ABSENT:
        if name not in image:
            setattr(image, name, "")
    if image.PatientSex not in ("M", "F", "O"):
        image.PatientSex = ""
    if "PerFrameFunctionalGroupsSequence" not in image:
        image.ImageOrientationPatient = first.image.ImageOrientationPatient
        if not image.get("SliceThickness"):
            image.SliceThickness = thickness_mm
        return
    if not image.get("SharedFunctionalGroupsSequence"):
        image.SharedFunctionalGroupsSequence = [type(image.PerFrameFunctionalGroupsSequence[0])()]
    shared = image.SharedFunctionalGroupsSequence[0]
    for name in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        if name not in shared:
            setattr(shared, name, image.PerFrameFunctionalGroupsSequence[0][name].value)


def _of_echo(frames: list[_Frame], scan: Scan) -> list[_Frame]:
    """Keep the frames of the echo that was converted, where the series has several."""
    seconds = scan.metadata.get("dicom_series", {}).get("EchoTime")
    if len({frame.echo_ms for frame in frames}) == 1 or seconds is None:
        return frames
    wanted = 1000 * seconds
    return [f for f in frames if f.echo_ms is not None and abs(f.echo_ms - wanted) < 0.01] or frames


def _check_grid(frames: list[_Frame], grid: Volume, axes: np.ndarray[Any, Any], scan: Scan) -> None:
    """Refuse frames (in order of position) that are not exactly the slices of the grid."""
    turned = nib.apply_orientation(np.broadcast_to(np.uint8(0), grid.shape), axes)
    affine = grid.affine @ nib.orientations.inv_ornt_aff(axes, grid.shape)
    columns, rows, count = turned.shape
    sizes = {(frame.image.Columns, frame.image.Rows) for frame in frames}
    if sizes != {(columns, rows)} or len(frames) != count:
        raise DicomError(_other_grid(scan, f"{len(frames)} images against {count} slices"))
    away_mm = []
    for k, frame in enumerate(frames):
        corners = np.array([[0, 0, k], [columns - 1, 0, k], [0, rows - 1, k]])
        apart = flip_lps_ras(frame.corners_mm()) - apply_affine(affine, corners)
        away_mm.append(float(np.linalg.norm(apart, axis=-1).max()))
    if max(away_mm) > TOLERANCE_MM:
        raise DicomError(_other_grid(scan, f"images up to {max(away_mm):.2f} mm from its slices"))


def _other_grid(scan: Scan, found: str) -> str:
    """Say that the conversion moved voxels, and what to do."""
    return (
        f"{scan.source}: the converted scan does not lie on the grid of its DICOM instances "
        f"({found}): slices are missing, unevenly spaced or tilted and were resampled, or several "
        "images lie at one place; results cannot refer to them exactly. Leave dicom out of the "
        "outputs, or give a folder with the whole series alone"
    )
