"""BIDS data sets by their file names alone: folders are listed, no image is opened.

pybids builds an index of everything and takes minutes for a large data set; what is needed here is
`sub-*/[ses-*/]anat/*_T1w`, `_T2w` and `_FLAIR`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from anatomaly.endings import NIFTI_ENDINGS
from anatomaly.errors import BidsError
from anatomaly.types import SEQUENCES, Sequence

ENDINGS = NIFTI_ENDINGS
LEFT_OUT = ("_ce-", "_part-phase", "_part-real", "_part-imag")
"""Scans with contrast agent, for which no weights are made, and all but magnitude images."""

GENERATOR = "anatomaly"
"""Name of the program in the descriptions of data sets that it writes."""


@dataclass(frozen=True)
class BidsScan:
    """One scan of a data set.

    Attributes:
        path: of the image.
        stem: the name without suffix and ending, for example sub-01_ses-a_acq-3D.
        sequence: its suffix.
    """

    path: Path
    stem: str
    sequence: Sequence

    @property
    def name(self) -> str:
        """Name without the ending."""
        return f"{self.stem}_{self.sequence}"


@dataclass(frozen=True)
class BidsSession:
    """What was scanned of one person in one session.

    Attributes:
        participant: label without `sub-`.
        session: label without `ses-`; empty where the data set has no sessions.
        scans: by sequence, then the shortest name first.
    """

    participant: str
    session: str
    scans: tuple[BidsScan, ...]

    @property
    def name(self) -> str:
        """sub-X, or sub-X_ses-Y."""
        return f"sub-{self.participant}" + (f"_ses-{self.session}" if self.session else "")

    @property
    def folder(self) -> Path:
        """Below the root of the data set: sub-X, or sub-X/ses-Y."""
        return Path(*self.name.split("_"))


def find_sessions(
    folder: Path, participants: Collection[str] = (), sessions: Collection[str] = ()
) -> list[BidsSession]:
    """List the scans of a data set by session.

    Args:
        folder: root of the data set.
        participants: labels wanted, with or without `sub-`; none for all.
        sessions: the same with `ses-`.

    Returns:
        Sessions with one scan at least, by name. `LEFT_OUT` is left out.

    Raises:
        BidsError: the folder has no `sub-*` folder.
    """
    if not any(path.is_dir() for path in folder.glob("sub-*")):
        raise BidsError(
            f"{folder}: no folder sub-* in it; give the root of a BIDS data set, which holds "
            "sub-01/anat/sub-01_T1w.nii.gz and the like"
        )
    wanted_people = {label.removeprefix("sub-") for label in participants}
    wanted_sessions = {label.removeprefix("ses-") for label in sessions}
    found = []
    for anat in anat_folders(folder):
        labels = [part.split("-", 1)[1] for part in anat.relative_to(folder).parts[:-1]]
        person, visit = labels[0], labels[1] if len(labels) > 1 else ""
        if (wanted_people and person not in wanted_people) or (
            wanted_sessions and visit not in wanted_sessions
        ):
            continue
        scans = tuple(
            BidsScan(path, stem_of(path), sequence)
            for sequence in SEQUENCES
            for path in scans_of(anat, sequence)
        )
        if scans:
            found.append(BidsSession(person, visit, scans))
    return found


def anat_folders(folder: Path) -> Iterator[Path]:
    """Yield `sub-*/anat` and `sub-*/ses-*/anat`, by name."""
    for person in sorted(path for path in folder.glob("sub-*") if path.is_dir()):
        yield from (p for p in [person / "anat", *sorted(person.glob("ses-*/anat"))] if p.is_dir())


def derivatives_of(folder: Path, inside: Path) -> list[Path]:
    """Return where other programs and people may have put something about a session.

    Our own results are left out: they are neither tissue labels nor a truth to measure against.

    Args:
        folder: root of the data set.
        inside: of the session's scans below it, for example sub-01/anat.

    Returns:
        `derivatives/*/` and `inside`, by name; they need not exist.
    """
    return [
        p / inside
        for p in sorted(folder.glob("derivatives/*"))
        if GENERATOR not in generators_of(p)
    ]


def generators_of(dataset: Path) -> list[str]:
    """Return the programs that made a data set, the first one first; none where it does not say."""
    try:
        said = json.loads((dataset / "dataset_description.json").read_text("utf-8"))
        return [str(program.get("Name", "")) for program in said["GeneratedBy"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []


def scans_of(anat: Path, sequence: Sequence) -> list[Path]:
    """Return the scans of a sequence but for `LEFT_OUT`, the shortest name first."""
    return [
        path
        for path in images_of(anat, f"_{sequence}")
        if not any(part in path.name for part in LEFT_OUT)
    ]


def images_of(place: Path, name_end: str = "") -> list[Path]:
    """Return the images whose name ends so (before .nii.gz or .nii), the shortest name first."""
    files = [path for ending in ENDINGS for path in place.glob(f"sub-*{name_end}{ending}")]
    return sorted(files, key=lambda path: (len(path.name), path.name))


def stem_of(path: Path) -> str:
    """Return a BIDS name without its suffix and ending.

    >>> stem_of(Path("sub-01_acq-3D_run-2_T1w.nii.gz"))
    'sub-01_acq-3D_run-2'
    """
    return re.sub(r"_[^_-]+\.nii(\.gz)?$", "", path.name)
