"""Which DICOM instances a scan was converted from, and how its grid lies on their frames.

And whether each slice holds the pixels of the image that it was paired with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread

from anatomaly.errors import DicomError
from anatomaly.scan.dicom import files_of, series_beside
from anatomaly.scan.frame_pixels import UndecodableError, agree, frame_pixels, least_correlation
from anatomaly.scan.frames import Frame, StackedGrid, frames_of, of_one_stack, turned_as_frames
from anatomaly.scan.instances import UNREADABLE, is_dicom_file, read_instances
from anatomaly.volume import Scan

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
        frames: where each lies.
        grid: the scan's, turned as they lie.
        order: position of each frame along the stack, shape (frames,).
    """

    images: tuple[Dataset, ...]
    frames: tuple[Frame, ...]
    grid: StackedGrid
    order: np.ndarray[Any, Any]

    def stack(self, data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Turn an array on the scan's grid, (I, J, K), into frames, (frames, rows, columns)."""
        return np.ascontiguousarray(self.grid.turn(data)[self.order])


def source_frames(scan: Scan) -> SourceFrames:
    """Find the instances that a scan was converted from; each slice gets the frame that it was.

    The folder is searched again for the series; slices and frames are paired by where they lie,
    so that the order of files, instance numbers and the flips of the conversion play no part.

    Raises:
        DicomError: the scan is no DICOM series, or its grid is not that of the instances: slices
            missing, uneven or tilted (dcm2niix resamples these), or several images at one place.
    """
    if scan.source is None or not (scan.source.is_dir() or is_dicom_file(scan.source)):
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
        frames = [frame for image in images for frame in frames_of(image)]
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise DicomError(
            f"{scan.source}: an instance does not say where it lies ({error}); DICOM results need "
            "position, orientation and pixel spacing of every frame"
        ) from error
    return _lay(frames, scan)


def check_pixels(source: SourceFrames, scan: Scan) -> None:
    """Refuse a scan whose slices are not the images that lie where they lie.

    Reading a folder compares them too and puts slices right (`anatomaly.scan.checked_series`); this
    is for folders that changed since, and for scans that somebody made himself. Images that pydicom
    cannot unpack (a codec that is not installed) are not compared.

    Raises:
        DicomError: a slice differs.
    """
    slices = source.stack(scan.volume.data)
    place = {id(frame): number for number, frame in enumerate(source.frames)}
    try:
        for frame, pixels in frame_pixels(source.frames):
            if not agree(pixels, slices[place[id(frame)]], least_correlation(frame)):
                raise DicomError(
                    f"{scan.source}: a slice of the scan does not hold the pixels of the image "
                    f"that lies there ({frame.image.SOPInstanceUID}), so results cannot refer to "
                    "it: read the folder again, and give the scan as it was read"
                )
    except UndecodableError:
        return


def _images_of(source: Path, series_uid: str) -> list[Dataset]:
    """Return the headers of a series, each instance once; other files are passed over."""
    images: dict[str, Dataset] = {}
    instances = read_instances(files_of(source)) if source.is_dir() else series_beside(source)
    for instance in instances:
        if instance.series_uid != series_uid:
            continue
        try:
            image = dcmread(instance.path, stop_before_pixels=True, force=True)  # or no preamble
            images[image.SOPInstanceUID] = image
        except UNREADABLE:
            continue
    return list(images.values())


def _lay(frames: list[Frame], scan: Scan) -> SourceFrames:
    """Pair frames and slices by position."""
    volume = scan.volume
    group, grid = turned_as_frames(frames, volume.affine, volume.shape)
    seconds = scan.metadata.get("dicom_series", {}).get("EchoTime")
    ordered = of_one_stack(group, None if seconds is None else 1000 * seconds)
    first = ordered[0]
    _check_grid(ordered, grid, scan)
    step_mm = float(np.linalg.norm(grid.affine[:3, 2]))
    for frame in ordered:
        _complete(frame.image, first, step_mm)
    if len({id(frame.image) for frame in ordered}) == len(ordered):
        images = tuple(frame.image for frame in ordered)
        return SourceFrames(images, tuple(ordered), grid, np.arange(len(ordered)))
    image = first.image
    if any(frame.image is not image for frame in ordered) or len(ordered) != image.NumberOfFrames:
        raise DicomError(
            f"{scan.source}: the slices come from several multi-frame instances, or from a part of "
            "one; DICOM results need one instance a slice, or one enhanced instance with exactly "
            "the slices of the scan"
        )
    order = np.argsort([frame.index for frame in ordered])
    in_file = tuple(ordered[k] for k in order)
    return SourceFrames((image,), in_file, grid, order)


def _complete(image: Dataset, first: Frame, thickness_mm: float) -> None:
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


def _check_grid(frames: list[Frame], grid: StackedGrid, scan: Scan) -> None:
    """Refuse frames (in order of position) that are not exactly the slices of the grid."""
    columns, rows, count = grid.shape
    if {frame.size for frame in frames} != {(columns, rows)} or len(frames) != count:
        raise DicomError(_other_grid(scan, f"{len(frames)} images against {count} slices"))
    away_mm = max(grid.away_mm(frame, k) for k, frame in enumerate(frames))
    if away_mm > TOLERANCE_MM:
        raise DicomError(_other_grid(scan, f"images up to {away_mm:.2f} mm from its slices"))


def _other_grid(scan: Scan, found: str) -> str:
    """Say that the conversion moved voxels, and what to do."""
    return (
        f"{scan.source}: the converted scan does not lie on the grid of its DICOM instances "
        f"({found}): slices are missing, unevenly spaced or tilted and were resampled, or several "
        "images lie at one place; results cannot refer to them exactly. Leave dicom out of the "
        "outputs, or give a folder with the whole series alone"
    )
