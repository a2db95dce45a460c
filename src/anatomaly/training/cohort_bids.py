"""What a BIDS folder holds that a training can use; files are named, not opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anatomaly.errors import TrainingError
from anatomaly.types import SEQUENCES, Sequence

ENDINGS = (".nii.gz", ".nii")
OTHER_SPACES = ("space-MNI", "space-fs")


@dataclass(frozen=True)
class Visit:
    """One session of one person.

    Attributes:
        name: sub-X, or sub-X_ses-Y.
        person: sub-X: all sessions of a person are on one side of a split.
        scans: path by sequence, T1w before T2w before FLAIR, one at least.
        dseg: discrete segmentation on the grid of the first scan, or None.
    """

    name: str
    person: str
    scans: Mapping[Sequence, Path]
    dseg: Path | None


def find_visits(folder: Path, sequences: tuple[Sequence, ...] = SEQUENCES) -> list[Visit]:
    """List sessions with `anat/*_T1w`, `*_T2w` or `*_FLAIR` (.nii.gz or .nii), by name.

    Scans with contrast agent (`ce-`) are left out; of several runs or acquisitions the one with
    the shortest name, then the first, is taken. A `*_dseg` is looked for beside the scan and in
    the same place below `derivatives/*/`.

    Args:
        folder: BIDS folder.
        sequences: those wanted.

    Raises:
        TrainingError: the folder holds none.
    """
    visits = [_visit(folder, anat, sequences) for anat in _anat_folders(folder)]
    found = [visit for visit in visits if visit is not None]
    if not found:
        wanted = ", ".join(f"*_{s}.nii.gz" for s in sequences)
        raise TrainingError(f"{folder}: no sub-*/[ses-*/]anat/ with {wanted}; is it a BIDS folder?")
    return found


def _anat_folders(folder: Path) -> Iterator[Path]:
    for person in sorted(path for path in folder.glob("sub-*") if path.is_dir()):
        yield from (p for p in [person / "anat", *sorted(person.glob("ses-*/anat"))] if p.is_dir())


def _visit(folder: Path, anat: Path, sequences: tuple[Sequence, ...]) -> Visit | None:
    scans: dict[Sequence, Path] = {}
    for sequence in (s for s in SEQUENCES if s in sequences):
        files = [p for p in _files(anat, sequence) if "_ce-" not in p.name]
        if files:
            scans[sequence] = files[0]
    if not scans:
        return None
    inside = anat.relative_to(folder)
    places = [anat, *sorted(p / inside for p in folder.glob("derivatives/*"))]
    segmentations = [
        path
        for place in places
        for path in _files(place, "dseg")
        if not any(space in path.name for space in OTHER_SPACES)
    ]
    name = "_".join(inside.parts[:-1])
    return Visit(name, inside.parts[0], scans, segmentations[0] if segmentations else None)


def _files(place: Path, suffix: str) -> list[Path]:
    found = [p for ending in ENDINGS for p in place.glob(f"sub-*_{suffix}{ending}")]
    return sorted(found, key=lambda path: (len(path.name), path.name))
