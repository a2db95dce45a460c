"""A converted series whose every slice holds the pixels that its header places there, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.errors import GeometryError, ScanError
from anatomaly.geometry import check_affine
from anatomaly.scan.frame_pixels import UndecodableError, Verdict, compare_pixels
from anatomaly.scan.frames import (
    Frame,
    magnitudes_of_echo,
    parallel_groups,
    placed_frames,
    places_count,
    turned_as_frames,
)
from anatomaly.scan.instances import Instance
from anatomaly.scan.rebuilt_volume import RebuiltVolume, rebuild_volume, write_rebuilt
from anatomaly.scan.series import Series

_UNEVEN = "has missing or unevenly spaced slices; they were interpolated, results near the gap are "


def checked_series(series: Series, instances: Sequence[Instance]) -> tuple[Series, tuple[str, ...]]:
    """Compare a series with its images, and rebuild it from them where it is not the same.

    dcm2niix leaves the frames of some enhanced images in the order of the file and gives them the
    places of sorted ones; nothing but a comparison of pixels at each place sees that.

    Args:
        series: as converted.
        instances: all images of the folder.

    Returns:
        The series, its path replaced where it was rebuilt, and warnings.

    Raises:
        ScanError: the conversion is wrong, and the images make no volume either.
    """
    owns = [i for i in instances if i.series_uid == (series.uid or "")]
    frames = placed_frames(instance.header for instance in owns)
    if not frames:
        return _unchecked(series, "none of them says where it lies")
    group, verdict, left_out_count = _compared(series, frames)
    if verdict is Verdict.SAME and left_out_count <= 0:
        return series, ()
    if verdict is Verdict.UNKNOWN:
        return _unchecked(series, "they cannot be unpacked here, or are laid out otherwise")
    try:
        rebuilt = _rebuilt(series, group, verdict)
    except UndecodableError as error:
        return _unchecked(series, f"they cannot be unpacked here: {error}")
    if rebuilt is None:
        part = (
            f"{series.label} holds {left_out_count} more slices beside those of the volume that "
            "was taken: apart, or in another row; the volume may show a part of the head alone"
        )
        return series, (part,)
    done = replace(
        series,
        path=write_rebuilt(rebuilt, series.path.with_name(f"rebuilt_{series.path.name}")),
        shape=tuple(rebuilt.image.shape),
        volumes=1,
        unusable_as_converted="",
        uneven_slices=rebuilt.interpolated_count > 0,
    )
    was_wrong = verdict is Verdict.OTHER and _is_usable(series)
    return done, _warnings(series.label, rebuilt, was_wrong)


def _is_usable(series: Series) -> bool:
    """Return whether a conversion says itself that it is one volume of even slices."""
    return series.volumes == 1 and not (series.uneven_slices or series.unusable_as_converted)


def _compared(series: Series, frames: Sequence[Frame]) -> tuple[list[Frame], Verdict, int]:
    """Return the frames of a volume, whether it holds them, and how many places it leaves out."""
    image: Any = nib.load(series.path, mmap=False)  # see niimath.read_nifti
    try:
        affine = check_affine(image.affine)
    except GeometryError:  # of several images at one place dcm2niix may write one without depth
        return parallel_groups(frames)[0], Verdict.OTHER, 0
    group, grid = turned_as_frames(frames, affine, image.shape[:3])
    if not _is_usable(series):
        return group, Verdict.OTHER, 0
    verdict = compare_pixels(np.asanyarray(image.dataobj.get_unscaled()), grid, group)
    count = places_count(magnitudes_of_echo(group, _echo_ms(series)))
    return group, verdict, count - grid.shape[2]


def _rebuilt(series: Series, group: list[Frame], verdict: Verdict) -> RebuiltVolume | None:
    """Rebuild a series; None where the conversion is right and what is beside it another stack.

    Raises:
        ScanError: the conversion is wrong, and the images make no volume.
        UndecodableError: pixels cannot be unpacked.
    """
    try:
        rebuilt = rebuild_volume(group, _echo_ms(series))
    except ScanError as error:
        if verdict is Verdict.SAME:
            return None
        raise ScanError(f"{series.label}: {error}") from error
    return None if verdict is Verdict.SAME and rebuilt.interpolated_count else rebuilt


def _echo_ms(series: Series) -> float | None:
    """Return the echo time of a series in ms, None if unknown."""
    seconds = series.facts.get("EchoTime")
    return 1000 * float(seconds) if isinstance(seconds, (int, float)) else None


def _unchecked(series: Series, why: str) -> tuple[Series, tuple[str, ...]]:
    """Keep a conversion that cannot be compared with its images, and say so.

    Raises:
        ScanError: it cannot be used without them.
    """
    if series.unusable_as_converted:
        raise ScanError(f"{series.label}: {series.unusable_as_converted}")
    if series.volumes > 1:
        raise ScanError(f"{series.label}: {series.volumes} volumes, and {why}")
    warnings = [
        f"the places of the slices of {series.label} could not be compared with its DICOM images "
        f"({why}); compare the overview with what another viewer shows"
    ]
    if series.uneven_slices:
        warnings.append(f"{series.label} {_UNEVEN}doubtful")
    return series, tuple(warnings)


def _warnings(label: str, rebuilt: RebuiltVolume, was_wrong: bool) -> tuple[str, ...]:
    """Say why a volume was rebuilt and what of the series was left out or made up."""
    warnings = {
        f"the conversion of {label} put slices in wrong places; it was rebuilt from the DICOM "
        "images, each slice where its own header says": was_wrong,
        f"{label} holds {rebuilt.spare_count} images twice, under other names; each was read "
        "once": rebuilt.spare_count and rebuilt.spare_alike,
        f"{label} holds several images at the same places (repetitions, or before and after "
        "contrast agent); the first magnitude image of each place was taken, "
        f"{rebuilt.spare_count} others were not": rebuilt.spare_count and not rebuilt.spare_alike,
        f"{label} {_UNEVEN}doubtful ({rebuilt.interpolated_count} slices made up)": (
            rebuilt.interpolated_count
        ),
    }
    return tuple(text for text, applies in warnings.items() if applies)
