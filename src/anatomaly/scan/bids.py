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

from anatomaly.errors import BidsError
from anatomaly.scan.bids_left_out import (
    ENDINGS,
    MP2RAGE_SUFFIX,
    LeftOut,
    Rules,
    images_in,
    is_ignored,
    judge_name,
    misplaced,
    read_ignored,
    suffix_of,
)
from anatomaly.scan.fetched import is_unfetched
from anatomaly.types import SEQUENCES, MrSequence

GENERATOR = "anatomaly"
"""Name of the program in the descriptions of data sets that it writes."""


@dataclass(frozen=True)
class BidsScan:
    """One scan of a data set.

    Attributes:
        path: of the image.
        stem: the name without suffix and ending, for example sub-01_ses-a_acq-3D.
        sequence: its suffix; T1w for UNIT1.
    """

    path: Path
    stem: str
    sequence: MrSequence

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


@dataclass(frozen=True)
class Selection:
    """What a data set holds for the labels asked for.

    Attributes:
        sessions: with one scan at least, by name.
        left_out: what is not worked on, and why.
        unknown: labels that were asked for and match nobody: sub-9, ses-z.
        people: labels of every person of the data set, with `sub-`.
        visits: labels of every session, with `ses-`.
    """

    sessions: tuple[BidsSession, ...]
    left_out: tuple[LeftOut, ...]
    unknown: tuple[str, ...]
    people: tuple[str, ...]
    visits: tuple[str, ...]


def find_sessions(
    folder: Path, participants: Collection[str] = (), sessions: Collection[str] = ()
) -> list[BidsSession]:
    """List the sessions that `select_sessions` finds, by name: those with one scan at least."""
    return list(select_sessions(folder, participants, sessions).sessions)


def select_sessions(
    folder: Path, participants: Collection[str] = (), sessions: Collection[str] = ()
) -> Selection:
    """List the scans of a data set by session, and what is left out of it.

    Args:
        folder: root of the data set.
        participants: labels wanted, with or without `sub-`; none for all.
        sessions: the same with `ses-`.

    Raises:
        BidsError: the folder has no `sub-*` folder.
    """
    people = [path for path in sorted(folder.glob("sub-*")) if path.is_dir()]
    if not people:
        raise BidsError(
            f"{folder}: no folder sub-* in it; give the root of a BIDS data set, which holds "
            "sub-01/anat/sub-01_T1w.nii.gz and the like"
        )
    visits = {path.name for path in folder.glob("sub-*/ses-*") if path.is_dir()}
    wanted_people = {f"sub-{label.removeprefix('sub-')}" for label in participants}
    wanted_visits = {f"ses-{label.removeprefix('ses-')}" for label in sessions}
    names = {path.name for path in people}
    chosen = [path for path in people if not wanted_people or path.name in wanted_people]
    ignored = read_ignored(folder)
    scanned, left_out = [], list(misplaced(folder, chosen))
    for person in chosen:
        anats = [a for a in _anats(person) if not wanted_visits or a.parent.name in wanted_visits]
        try:
            read = [_read_anat(anat, folder, ignored) for anat in anats]
        except OSError as error:
            why = f"cannot be read ({error.strerror}); check its permissions"
            left_out.append(LeftOut(person, why, refused=True))
            continue
        scanned += [session for session, _ in read if session.scans]
        left_out += [each for _, left in read for each in left]
        if not any(session.scans or left for session, left in read) and not wanted_visits:
            left_out.append(LeftOut(person, "no T1w, T2w or FLAIR scan in a folder anat of it"))
    unknown = (*sorted(wanted_people - names), *sorted(wanted_visits - visits))
    return Selection(
        tuple(scanned), tuple(left_out), unknown, tuple(sorted(names)), tuple(sorted(visits))
    )


def _read_anat(anat: Path, folder: Path, ignored: Rules) -> tuple[BidsSession, list[LeftOut]]:
    """Return the scans of an `anat` folder, and what is left out of it."""
    labels = [part.split("-", 1)[1] for part in anat.relative_to(folder).parts[:-1]]
    person, visit = labels[0], labels[1] if len(labels) > 1 else ""
    left_out: list[LeftOut] = []
    readable: list[Path] = []
    for path in images_in(anat):
        left = judge_name(path, person, visit)
        if is_ignored(path.relative_to(folder), ignored):
            left = LeftOut(path, "named in .bidsignore")
        if left:
            left_out.append(left)
        else:
            readable.append(path)
    scans: dict[str, BidsScan] = {}
    for path in sorted(readable, key=_preference):
        suffix = suffix_of(path.name)
        sequence: MrSequence = next((name for name in SEQUENCES if name == suffix), "T1w")
        scan = BidsScan(path, stem_of(path), sequence)
        taken = scans.setdefault(scan.name, scan).path
        if taken != path:
            what = suffix_of(taken.name)
            if what == suffix:
                what = next(ending for ending in ENDINGS if taken.name.endswith(ending))
            left_out.append(LeftOut(path, f"the {what} image of the same name is taken"))
    order = {sequence: place for place, sequence in enumerate(SEQUENCES)}
    in_order = sorted(
        scans.values(), key=lambda s: (order[s.sequence], len(s.path.name), s.path.name)
    )
    return BidsSession(person, visit, tuple(in_order)), left_out


def _preference(path: Path) -> tuple[bool, bool, bool, str]:
    """Sort key: with content, T1w before UNIT1, compressed; the first of one name is taken."""
    name = path.name
    is_mp2rage = suffix_of(name) == MP2RAGE_SUFFIX
    return is_unfetched(path), is_mp2rage, not name.endswith(".gz"), name


def anat_folders(folder: Path) -> Iterator[Path]:
    """Yield `sub-*/anat` and `sub-*/ses-*/anat`, by name."""
    for person in sorted(path for path in folder.glob("sub-*") if path.is_dir()):
        yield from _anats(person)


def _anats(person: Path) -> list[Path]:
    """Return the `anat` folders of a person, by name."""
    return [p for p in [person / "anat", *sorted(person.glob("ses-*/anat"))] if p.is_dir()]


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


def scans_of(anat: Path, sequence: MrSequence) -> list[Path]:
    """Return the scans of a sequence that `select_sessions` takes, the shortest name first."""
    root = anat.parents[2 if anat.parent.name.startswith("ses-") else 1]
    session, _ = _read_anat(anat, root, read_ignored(root))
    return [scan.path for scan in session.scans if scan.sequence == sequence]


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
