"""A volume put together from the frames of a DICOM series, each where its own header says.

dcm2niix converts; this is for what it cannot: frames that it leaves in a wrong order, slices that
are missing between 16-bit images, several images at each place, packings that it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.errors import ScanError
from anatomaly.geometry import flip_lps_ras
from anatomaly.scan.frame_pixels import Pixels, frame_pixels
from anatomaly.scan.frames import Frame, of_echo, of_one_stack, places_count
from anatomaly.scan.instances import number_of
from anatomaly.types import Affine, FloatArray

_UNEVEN = 0.05
"""Distances between slices that differ by this share of the usual one are uneven."""
MAX_GAP_MM = 25.0
MAX_MISSING_SHARE = 0.25
_TILT_MM = 0.5
_NO_ADVICE = "export the series again, complete"


@dataclass(frozen=True)
class RebuiltVolume:
    """A rebuilt volume and what was done for it.

    Attributes:
        image: NIfTI, stored values scaled by the rescale slope and intercept where there are any.
        spare_count: images left out because another lies at the same place.
        spare_alike: all of these hold the pixels of the one that was kept.
        interpolated_count: slices at whose place no frame lies, made from their neighbours.
    """

    image: nib.Nifti1Image
    spare_count: int
    spare_alike: bool
    interpolated_count: int


def rebuild_volume(frames: Sequence[Frame], echo_ms: float | None) -> RebuiltVolume:
    """Put a volume together from parallel frames of one size.

    Columns run along the first axis, rows backwards along the second, as dcm2niix lays them.
    Missing slices are interpolated linearly between their neighbours.

    Args:
        frames: of the series; of several at one place one is taken (`of_one_stack`).
        echo_ms: which echo.

    Raises:
        ScanError: too much is missing, or the frames are no stack.
        UndecodableError: pixels cannot be unpacked.
    """
    frames = of_echo(frames, echo_ms)
    stack = of_one_stack(frames, echo_ms)
    spare_count = len(frames) - len(stack)
    may_be_copies = spare_count > 0 and len(frames) <= 4 * places_count(frames)
    heights_mm = np.array([frame.position_mm @ stack[0].normal for frame in stack])
    slices, alike = _slices(stack, frames if may_be_copies else stack, heights_mm)
    _check_stack(stack, heights_mm)
    data, interpolated_count = _even(slices, heights_mm)
    image = _nifti(data, _affine(stack, len(data) - 1))
    return RebuiltVolume(image, spare_count, may_be_copies and alike, interpolated_count)


def write_rebuilt(volume: RebuiltVolume, path: Path) -> Path:
    """Write a rebuilt volume into the folder of the conversion.

    Raises:
        ScanError: there is no space.
    """
    try:
        nib.save(volume.image, path)
    except OSError as error:
        raise ScanError(
            f"the temporary folder {path.parent} cannot be written ({error.strerror or error}); "
            "make space, or set TMPDIR to another folder"
        ) from error
    return path


def _slices(
    stack: list[Frame], frames: Sequence[Frame], heights_mm: FloatArray
) -> tuple[Pixels, bool]:
    """Return the stack's pixels, (slices, rows, columns), and whether all frames repeat them."""
    place = {id(frame): number for number, frame in enumerate(stack)}
    own: dict[int, Pixels] = {}
    spare: list[tuple[int, Pixels]] = []
    for frame, pixels in frame_pixels(frames):
        if id(frame) in place:
            own[place[id(frame)]] = pixels
        else:
            away_mm = np.abs(heights_mm - frame.position_mm @ stack[0].normal)
            spare.append((int(np.argmin(away_mm)), pixels))
    alike = all(np.array_equal(pixels, own[number]) for number, pixels in spare)
    scales = [_scale(frame) for frame in stack]
    slices = [own[number] for number in range(len(stack))]
    if set(scales) == {(1.0, 0.0)}:
        return np.stack(slices), alike
    scaled = [p * np.float32(s) + np.float32(i) for p, (s, i) in zip(slices, scales, strict=True)]
    return np.stack(scaled).astype(np.float32), alike


def _scale(frame: Frame) -> tuple[float, float]:
    """Return the rescale slope and intercept of a frame."""
    shared = frame.image.get("SharedFunctionalGroupsSequence") or []
    own = (frame.image.get("PerFrameFunctionalGroupsSequence") or [])[frame.index :][:1]
    holders: list[Any] = [frame.image]
    for group in (*shared, *own):
        holders += group.get("PixelValueTransformationSequence") or []
    slope, intercept = 1.0, 0.0
    for holder in holders:
        slope = number_of(holder, "RescaleSlope") or slope
        intercept = number_of(holder, "RescaleIntercept") or intercept
    return slope, intercept


def _check_stack(stack: list[Frame], heights_mm: FloatArray) -> None:
    """Refuse frames of which too many are missing, or that do not lie in a row."""
    steps_mm = np.diff(heights_mm)
    if len(stack) < 3:
        raise ScanError(f"{len(stack)} slices are no volume")
    step_mm = float(np.median(steps_mm))
    missing = np.sum(np.maximum(np.rint(steps_mm / step_mm) - 1, 0))
    if steps_mm.max() > max(MAX_GAP_MM, 1.5 * step_mm) or missing > MAX_MISSING_SHARE * len(stack):
        raise ScanError(
            f"{missing:.0f} slices are missing beside {len(stack)} (gap of up to "
            f"{steps_mm.max():.0f} mm), too many to interpolate: {_NO_ADVICE}"
        )
    origins = np.stack([frame.position_mm for frame in stack])
    share = (heights_mm - heights_mm[0]) / (heights_mm[-1] - heights_mm[0])
    on_line = origins[0] + share[:, None] * (origins[-1] - origins[0])
    away_mm = float(np.linalg.norm(origins - on_line, axis=1).max())
    if away_mm > _TILT_MM:
        raise ScanError(f"slices lie up to {away_mm:.1f} mm beside their row: {_NO_ADVICE}")


def _even(slices: Pixels, heights_mm: FloatArray) -> tuple[Pixels, int]:
    """Bring slices to even distances; return them, and how many are no frame but made up."""
    steps_mm = np.diff(heights_mm)
    step_mm = float(np.median(steps_mm))
    if np.abs(steps_mm - step_mm).max() <= _UNEVEN * step_mm:
        return slices, 0
    count = max(round(float(heights_mm[-1] - heights_mm[0]) / step_mm), 1)
    at = np.linspace(heights_mm[0], heights_mm[-1], count + 1)
    upper = np.clip(np.searchsorted(heights_mm, at - 1e-6), 1, len(slices) - 1)
    below, above = heights_mm[upper - 1], heights_mm[upper]
    weight = np.clip((at - below) / (above - below), 0, 1)
    whole = np.where(np.abs(weight - np.rint(weight)) < _UNEVEN, np.rint(weight), weight)
    evened = np.empty((count + 1, *slices.shape[1:]), dtype=np.float32)
    for k, (high, w) in enumerate(zip(upper, whole, strict=True)):
        evened[k] = (1 - w) * slices[high - 1] + w * slices[high]
    made_count = int(np.sum(whole != np.rint(whole)))
    if np.issubdtype(slices.dtype, np.integer):
        return np.rint(evened).astype(slices.dtype), made_count
    return evened, made_count


def _nifti(slices: Pixels, affine: Affine) -> nib.Nifti1Image:
    """Lay slices out as dcm2niix does; a qform cannot hold tilted slices."""
    image = nib.Nifti1Image(np.ascontiguousarray(slices.transpose(2, 1, 0)[:, ::-1]), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    if not np.allclose(image.get_qform(), affine, atol=1e-3):
        image.header["qform_code"] = 0
    return image


def _affine(stack: list[Frame], step_count: int) -> Affine:
    """Return the affine of (columns, rows backwards, slices), RAS+ mm."""
    first, last = stack[0], stack[-1]
    rows = first.size[1]
    down = first.column_axis * first.spacing_mm[1]
    affine = np.eye(4)
    affine[:3, 0] = flip_lps_ras(first.row_axis * first.spacing_mm[0])
    affine[:3, 1] = flip_lps_ras(-down)
    affine[:3, 2] = flip_lps_ras((last.position_mm - first.position_mm) / step_count)
    affine[:3, 3] = flip_lps_ras(first.position_mm + down * (rows - 1))
    return affine
