"""What a BIDS folder holds that a training can use; files are named, not opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anatomaly.errors import TrainingError
from anatomaly.scan.bids import anat_folders, derivatives_of, images_of, scans_of
from anatomaly.types import SEQUENCES, MrSequence

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
    scans: Mapping[MrSequence, Path]
    dseg: Path | None


def find_visits(folder: Path, sequences: tuple[MrSequence, ...] = SEQUENCES) -> list[Visit]:
    """List sessions with `anat/*_T1w`, `*_T2w` or `*_FLAIR` (.nii.gz or .nii), by name.

    Scans with contrast agent (`ce-`) are left out; of several runs or acquisitions the one with
    the shortest name, then the first, is taken. A `*_dseg` is looked for beside the scan and in
    the same place below `derivatives/*/`, but not of lesions, nor among our own results.

    Args:
        folder: BIDS folder.
        sequences: those wanted.

    Raises:
        TrainingError: the folder holds none.
    """
    visits = [
        Visit("_".join(place), place[0], scans, _segmentation(folder, anat))
        for anat in anat_folders(folder)
        if (scans := _scans(anat, sequences))
        for place in [anat.relative_to(folder).parts[:-1]]
    ]
    if not visits:
        wanted = ", ".join(f"*_{s}.nii.gz" for s in sequences)
        raise TrainingError(f"{folder}: no sub-*/[ses-*/]anat/ with {wanted}; is it a BIDS folder?")
    return visits


def _scans(anat: Path, sequences: tuple[MrSequence, ...]) -> dict[MrSequence, Path]:
    files = {sequence: scans_of(anat, sequence) for sequence in SEQUENCES if sequence in sequences}
    return {sequence: paths[0] for sequence, paths in files.items() if paths}


def _segmentation(folder: Path, anat: Path) -> Path | None:
    for place in (anat, *derivatives_of(folder, anat.relative_to(folder))):
        for path in images_of(place, "_dseg"):
            if not any(word in path.name for word in (*OTHER_SPACES, "lesion")):
                return path
    return None
