"""What goes into dcm2niix and what came out of it."""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.errors import ScanError
from anatomaly.scan.frame_pixels import UndecodableError
from anatomaly.scan.frames import Frame, parallel_groups, placed_frames, places_count
from anatomaly.scan.instances import TIMES, Instance, fields_of_series, text_of
from anatomaly.scan.rebuilt_volume import rebuild_volume, write_rebuilt
from anatomaly.scan.series import (
    MIN_EXTENT_MM,
    NO_SIDECAR,
    ODD_TYPE,
    TOO_FEW,
    TOO_SMALL,
    Series,
    exam_protocols,
    series_of_file,
)

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_. -]{1,100}")
_UID = re.compile(r"^series_[^_]*_([0-9.]+)")
_LEAST_FRAMES = 8
_MOST_REPEATED = 4


def stage_files(files: Iterable[Path], target: Path) -> Path:
    """Link the files into a folder that dcm2niix can read: shallow, short, plain names.

    Files of one folder stay together under their own names, as PAR and REC files must.

    Returns:
        `target`, which is made.
    """
    homes: dict[Path, Path] = {}
    target.mkdir()
    for number, path in enumerate(files):
        home = homes.get(path.parent)
        if home is None:
            home = homes[path.parent] = target / f"{len(homes):05d}"
            home.mkdir()
        name = path.name if _PLAIN_NAME.fullmatch(path.name) else f"image_{number:05d}"
        try:
            (home / name).symlink_to(path.absolute())
        except OSError:  # a temporary folder on a file system without links
            shutil.copyfile(path, home / name)
    return target


def collect_series(target: Path, instances: Sequence[Instance]) -> list[Series]:
    """Return the converted series.

    Where slices are missing or unevenly spaced, dcm2niix writes the image twice: once with a wrong
    geometry, and once (`_Eq`) interpolated to even distances. Only the second is kept. Of 16-bit
    images it writes the wrong one alone, without sidecar: that is marked as unusable.
    """
    paths = sorted(path for path in target.glob("*.nii") if _is_whole(path))
    evened = {path.stem.split("_Eq")[0] for path in paths if "_Eq" in path.stem}
    paths = [path for path in paths if path.stem not in evened]
    sidecars = {path: sidecar_of(path) for path in paths}
    fields = {path: _fields(path, sidecars[path], instances) for path in paths}
    of_exams = exam_protocols(fields.values())
    return [
        replace(
            series_of_file(path, fields[path], of_exams),
            unusable_as_converted="" if sidecars[path] else NO_SIDECAR,
        )
        for path in paths
    ]


def _is_whole(path: Path) -> bool:
    """Return whether a file holds the voxels that its header promises; a crash leaves a part."""
    try:
        image: Any = nib.load(path)
        size = int(np.prod(image.shape)) * image.get_data_dtype().itemsize
        return bool(path.stat().st_size >= size + int(image.dataobj.offset))
    except (OSError, ValueError, nib.filebasedimages.ImageFileError):
        return False


def sidecar_of(path: Path) -> dict[str, Any]:
    """Return what dcm2niix wrote of a file; a variant shares the sidecar of its original.

    Variants end with a letter or with a word after `_`; `series_20` is none of `series_2`.
    """
    beside = [
        file
        for file in path.parent.glob("*.json")
        if path.stem.startswith(file.stem) and not re.match(r"[0-9.]", path.stem[len(file.stem) :])
    ]
    longest = max(beside, key=lambda file: len(file.stem), default=path.with_suffix(".json"))
    try:
        fields = json.loads(longest.read_text("utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _fields(path: Path, sidecar: dict[str, Any], instances: Sequence[Instance]) -> dict[str, Any]:
    """Join what dcm2niix and the header say; dcm2niix counts, but for the times of 4D images.

    It takes two images at each place for a time series, and makes a repetition time of that.
    """
    in_name = _UID.match(path.stem)
    uid = sidecar.get("SeriesInstanceUID") or (in_name.group(1) if in_name else "")
    header = fields_of_series([i for i in instances if i.series_uid == uid])
    if len(nib.load(path).shape) < 4:  # type: ignore[attr-defined]
        return {**header, **sidecar}
    return {**header, **sidecar, **{name: header[name] for name in TIMES if name in header}}


def rebuild_unconverted(
    target: Path, instances: Sequence[Instance], converted: Sequence[Series]
) -> tuple[list[Series], list[str]]:
    """Put series together that dcm2niix left out: packed in a way that it does not know.

    Also those of which it wrote nothing but the phase, or pieces too small for a head.

    Returns:
        These series, and which others could not be read, with the reason.
    """
    pieces, by_uid = defaultdict[str, list[Series]](list), defaultdict[str, list[Instance]](list)
    for series in converted:
        pieces[series.uid or ""].append(series)
    for instance in instances:
        is_mr = text_of(instance.header, "Modality").upper() in ("MR", "")
        reasons = [series.reason_against for series in pieces.get(instance.series_uid, [])]
        are_pieces = all(why.startswith((ODD_TYPE, TOO_SMALL, TOO_FEW)) for why in reasons)
        if is_mr and instance.series_uid and are_pieces:
            by_uid[instance.series_uid].append(instance)
    made, unread = [], []
    for number, (uid, owns) in enumerate(by_uid.items()):
        frames = _largest_stack(owns, uid in pieces)
        if not frames:
            continue
        fields = fields_of_series(owns)
        path = target / f"unconverted_{number}.nii"
        try:
            write_rebuilt(rebuild_volume(frames, None), path)
        except (ScanError, UndecodableError) as error:
            title = fields.get("SeriesDescription", "")
            reason = str(error).split(";")[0].split("\n")[0]
            unread.append(f"series {fields.get('SeriesNumber', '?')} '{title}': {reason}")
            continue
        series = series_of_file(path, fields, exam_protocols([fields]))
        if uid not in pieces or not series.reason_against:
            made.append(series)
    return made, unread


def _largest_stack(instances: Sequence[Instance], is_tried: bool) -> list[Frame]:
    """Return the frames of what may be one volume, no localizer and no time series; else none.

    Args:
        instances: of a series.
        is_tried: dcm2niix wrote something of it; then there must be a head to gain.
    """
    groups = parallel_groups(placed_frames(instance.header for instance in instances))
    if not groups:
        return []
    group, count = groups[0], places_count(groups[0])
    if count < _LEAST_FRAMES or len(group) > _MOST_REPEATED * count:
        return []
    heights_mm = [float(frame.position_mm @ group[0].normal) for frame in group]
    if is_tried and max(heights_mm) - min(heights_mm) < MIN_EXTENT_MM:
        return []
    return group
