"""Where each frame of a DICOM series lies, and which frames make one stack.

Positions follow DICOM PS3.3 C.7.6.2.1.1 (Image Plane) and C.7.6.16.2 (functional groups).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from anatomaly.geometry import affine_about, apply_affine, flip_lps_ras
from anatomaly.scan.instances import UNREADABLE, number_of, texts_of
from anatomaly.types import Affine, FloatArray

if TYPE_CHECKING:
    from pydicom import Dataset

_SAME_PLACE_MM = 0.1
_PARALLEL = 0.02
"""Direction cosines that differ by less are of one direction: 1 degree."""
_NOT_MAGNITUDE = {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY", "LOCALIZER"}
_ORDER = (
    "AcquisitionNumber", "TemporalPositionIdentifier", "AcquisitionTime", "InstanceNumber",
)  # fmt: skip
_PLACE = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
_ECHO, _KIND = "MREchoSequence", "MRImageFrameTypeSequence"
"""Functional groups of an enhanced image, each of a frame or shared by all."""


@dataclass(frozen=True)
class Frame:
    """Where one frame lies (LPS mm), and what kind of image it is.

    Attributes:
        image: header of its file; `image.filename` is the file.
        index: number of the frame in the file, from 0.
        position_mm: centre of the first voxel, (3,).
        row_axis: direction in which the column index grows, unit vector (3,).
        column_axis: direction in which the row index grows, unit vector (3,).
        spacing_mm: between columns, between rows.
        echo_ms: echo time; None if unknown.
        is_magnitude: no phase, real or imaginary image, and no localizer inside a series.
    """

    image: Dataset
    index: int
    position_mm: FloatArray
    row_axis: FloatArray
    column_axis: FloatArray
    spacing_mm: tuple[float, float]
    echo_ms: float | None
    is_magnitude: bool

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return int(self.image.Columns), int(self.image.Rows)

    @property
    def normal(self) -> FloatArray:
        """Unit vector across the slice, (3,)."""
        across: FloatArray = np.cross(self.row_axis, self.column_axis)
        return across

    def corners_mm(self) -> FloatArray:
        """Return the first voxel, the last of the first row, the first of the last row; LPS mm."""
        along = self.row_axis * self.spacing_mm[0] * (self.image.Columns - 1)
        down = self.column_axis * self.spacing_mm[1] * (self.image.Rows - 1)
        return np.stack([self.position_mm, self.position_mm + along, self.position_mm + down])


@dataclass(frozen=True)
class StackedGrid:
    """An affine grid whose slices are stacked along the third axis as columns, rows, position.

    Attributes:
        axes: nibabel orientation (3, 2) that turns the scan's axes into that order.
        affine: of the turned grid, RAS+ mm.
        shape: columns, rows, slices.
    """

    axes: np.ndarray[Any, Any]
    affine: Affine
    shape: tuple[int, int, int]

    def turn(self, data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Turn an array on the scan's grid, (I, J, K), into slices, (slices, rows, columns)."""
        turned: np.ndarray[Any, Any] = nib.apply_orientation(data, self.axes)
        return turned.transpose(2, 1, 0)

    def away_mm(self, frame: Frame, k: int) -> float:
        """Return how far a frame's corners lie from those of slice k."""
        columns, rows, _ = self.shape
        corners = np.array([[0, 0, k], [columns - 1, 0, k], [0, rows - 1, k]])
        apart = flip_lps_ras(frame.corners_mm()) - apply_affine(self.affine, corners)
        return float(np.linalg.norm(apart, axis=-1).max())

    def slice_of(self, frame: Frame) -> int:
        """Return the number of the slice nearest to a frame's first voxel; it may lie outside."""
        place = np.linalg.inv(self.affine) @ np.append(flip_lps_ras(frame.position_mm), 1.0)
        return round(float(place[2]))


def stacked_grid(affine: Affine, shape: Sequence[int], like: Frame) -> StackedGrid:
    """Turn a grid so that its slices lie as a frame does.

    Args:
        affine: RAS+ mm.
        shape: (I, J, K).
        like: any frame of the series.
    """
    axes_lps = np.stack([like.row_axis, like.column_axis, like.normal])
    rough = affine_about(flip_lps_ras(axes_lps).T, np.zeros(3))
    axes = nib.io_orientation(np.linalg.inv(rough) @ affine)
    columns, rows, count = (int(shape[i]) for i in np.argsort(axes[:, 0]))
    turned = affine @ nib.orientations.inv_ornt_aff(axes, shape)
    return StackedGrid(axes, turned, (columns, rows, count))


def frames_of(image: Dataset) -> Iterator[Frame]:
    """Yield the frames of a classic or an enhanced instance.

    Raises:
        AttributeError: a field is absent.
        ValueError: a field holds no number.
    """
    if "PerFrameFunctionalGroupsSequence" not in image:
        yield _frame(image, 0, (image, image, image), image.get("EchoTime"), image)
        return
    shared = (image.get("SharedFunctionalGroupsSequence") or [{}])[0]
    for index, own in enumerate(image.PerFrameFunctionalGroupsSequence):
        groups = {name: own.get(name) or shared.get(name) for name in (*_PLACE, _ECHO, _KIND)}
        for name in _PLACE:
            if not groups[name]:
                raise AttributeError(f"no {name}")
        echo_ms = groups[_ECHO][0].get("EffectiveEchoTime") if groups[_ECHO] else None
        kind = groups[_KIND][0] if groups[_KIND] else image
        yield _frame(image, index, tuple(groups[name][0] for name in _PLACE), echo_ms, kind)


def placed_frames(images: Iterable[Dataset]) -> list[Frame]:
    """Return the frames that say where they lie; images that do not are passed over."""
    frames: list[Frame] = []
    for image in images:
        with suppress(*UNREADABLE):
            frames += frames_of(image)
    return frames


def _frame(image: Dataset, index: int, parts: tuple[Any, ...], echo: Any, kind: Any) -> Frame:
    """Read one frame from the datasets that hold its position, orientation and spacing."""
    position, orientation, measures = parts
    axes = np.array(orientation.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    between_rows, between_columns = (float(v) for v in measures.PixelSpacing)
    place = np.array(position.ImagePositionPatient, dtype=np.float64).reshape(3)
    if not (np.isfinite(axes).all() and np.isfinite(place).all()):
        raise ValueError("position or orientation is not finite")
    names = ("ImageType", "FrameType", "ComplexImageComponent")
    types = {text.upper() for name in names for text in texts_of(kind, name)}
    return Frame(
        image=image,
        index=index,
        position_mm=place,
        row_axis=axes[0],
        column_axis=axes[1],
        spacing_mm=(between_columns, between_rows),
        echo_ms=None if echo is None else float(echo),
        is_magnitude=not types & _NOT_MAGNITUDE,
    )


def turned_as_frames(
    frames: Iterable[Frame], affine: Affine, shape: Sequence[int]
) -> tuple[list[Frame], StackedGrid]:
    """Return the parallel frames that a grid was made of, and the grid turned as they lie.

    Where no group of frames fits the grid, the largest one is taken.

    Args:
        frames: at least one.
        affine: of the grid, RAS+ mm.
        shape: (I, J, K).
    """
    groups = parallel_groups(frames)
    turned = [(group, stacked_grid(affine, shape, group[0])) for group in groups]
    fitting = (pair for pair in turned if lies_as(pair[0][0], pair[1]))
    return next(fitting, turned[0])


def lies_as(frame: Frame, grid: StackedGrid) -> bool:
    """Return whether a frame is parallel to the slices of a grid and of their size."""
    columns, rows, _ = grid.shape
    axes = flip_lps_ras(np.stack([frame.row_axis, frame.column_axis]))
    steps = (grid.affine[:3, :2] / np.linalg.norm(grid.affine[:3, :2], axis=0)).T
    return frame.size == (columns, rows) and bool(np.abs(axes - steps).max() < _PARALLEL)


def parallel_groups(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Group frames that are parallel and of one size, the largest group first."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            first = group[0]
            turned = (frame.row_axis - first.row_axis, frame.column_axis - first.column_axis)
            if frame.size == first.size and np.abs(turned).max() < _PARALLEL:
                group.append(frame)
                break
        else:
            groups.append([frame])
    return sorted(groups, key=len, reverse=True)


def of_one_stack(frames: Sequence[Frame], echo_ms: float | None) -> list[Frame]:
    """Return the frames of one stack in order of position, one a place, of parallel frames.

    Magnitude goes before phase; of several echoes the named one is taken, or the first; of several
    acquisitions that with most places, or the first.

    Args:
        frames: parallel and of one size; at least one.
        echo_ms: of the stack; None where it is unknown.
    """
    in_order = sorted(magnitudes_of_echo(frames, echo_ms), key=_order)
    acquisitions: dict[float, dict[int, Frame]] = {}
    for frame, place in zip(in_order, _places(in_order), strict=True):
        acquisitions.setdefault(_order(frame)[0], {}).setdefault(place, frame)
    stack: dict[int, Frame] = {}
    for of_one in sorted(acquisitions.values(), key=len, reverse=True):  # stable: the first wins
        stack = {**of_one, **stack}  # slices may each have an acquisition number of their own
    return [stack[place] for place in sorted(stack)]


def places_count(frames: Sequence[Frame]) -> int:
    """Return at how many places along their normal parallel frames lie."""
    return len(set(_places(frames)))


def magnitudes_of_echo(frames: Sequence[Frame], echo_ms: float | None) -> list[Frame]:
    """Return the magnitude frames of one echo; all of that echo where none is a magnitude."""
    return of_echo([frame for frame in frames if frame.is_magnitude] or frames, echo_ms)


def of_echo(frames: Sequence[Frame], echo_ms: float | None) -> list[Frame]:
    """Return the frames of one echo, the first where none is named, if there are several."""
    echoes = sorted({frame.echo_ms for frame in frames if frame.echo_ms is not None})
    if len(echoes) < 2:
        return list(frames)
    wanted = echoes[0] if echo_ms is None else min(echoes, key=lambda e: abs(e - echo_ms))
    return [frame for frame in frames if frame.echo_ms == wanted]


def _places(frames: Sequence[Frame]) -> list[int]:
    """Number the places along the normal from below; frames closer than 1/10 mm share one."""
    heights = np.array([frame.position_mm @ frames[0].normal for frame in frames])
    rising = np.argsort(heights, kind="stable")
    number = np.empty(len(frames), dtype=np.int64)
    number[rising] = np.cumsum(np.diff(heights[rising], prepend=heights.min()) > _SAME_PLACE_MM)
    return [int(n) for n in number]


def _order(frame: Frame) -> tuple[float, ...]:
    """Sort key: acquisition, time point, time, instance, frame."""
    numbers = (number_of(frame.image, name) for name in _ORDER)
    return (*(0.0 if number is None else number for number in numbers), float(frame.index))
