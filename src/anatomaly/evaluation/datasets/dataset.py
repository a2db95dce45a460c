"""What a data set is: words about it, and a function that finds its cases in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from anatomaly.evaluation.cases import Case
from anatomaly.scan.bids_left_out import ENDINGS
from anatomaly.types import SEQUENCES, MrSequence


class Problem(NamedTuple):
    """Something that is not as the provider ships it.

    Attributes:
        kind: missing (the rest can be used) or wrong (what is there should not be trusted).
        what: in words, the same for all patients that it concerns.
        where: the patient or file.
    """

    kind: Literal["missing", "wrong"]
    what: str
    where: str


@dataclass
class Listing:
    """What a folder holds: cases by patient and sequence, and what is missing or odd."""

    cases: list[Case] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def missing(self, what: str, where: str) -> None:
        """Note that something is missing."""
        self.problems.append(Problem("missing", what, where))

    def wrong(self, what: str, where: str) -> None:
        """Note that something looks wrong."""
        self.problems.append(Problem("wrong", what, where))


@dataclass(frozen=True)
class Dataset:
    """A data set by its provider's own names.

    Attributes:
        name: on the command line.
        title: in full.
        holds: whose scans, how many, which sequences, which label.
        licence: as the provider states it.
        apply: where to get it.
        layout: example paths below the folder, as shipped.
        find: takes the folder, returns its cases; opens no image.
    """

    name: str
    title: str
    holds: str
    licence: str
    apply: str
    layout: str
    find: Callable[[Path], Listing]


def number_in(text: str | None) -> float | None:
    """Return a number that a table holds as text; None where it holds none (n/a)."""
    try:
        return float(text or "")
    except ValueError:
        return None


def first_image(folder: Path, names: Iterable[str]) -> Path | None:
    """Return the first of `names` that is there as .nii.gz or .nii, None without one."""
    paths = (folder / f"{name}{ending}" for name in names for ending in ENDINGS)
    return next((path for path in paths if path.is_file()), None)


def once(
    folders: Iterable[Path], name_of: Callable[[Path], str], listing: Listing
) -> dict[str, Path]:
    """Return folders by patient name; of two with the same name the first by path, and a note."""
    unique: dict[str, Path] = {}
    for folder in sorted(folders):
        name = name_of(folder)
        if name in unique:
            listing.wrong("patient is there twice; the first one is used", name)
        else:
            unique[name] = folder
    return unique


def add_patient(
    listing: Listing, template: Case, scans: Mapping[MrSequence, Path | None], label: Path | None
) -> None:
    """Add a case for each scan of a patient who should have a label.

    Args:
        listing: takes the cases and the notes on what is missing.
        template: a case with all but sequence, scan and label right.
        scans: path by sequence, None where the provider's file is not there.
        label: None where it is not there: then there is no case.
    """
    for sequence, path in scans.items():
        if path is None:
            listing.missing(f"no {sequence}", template.patient)
    if label is None:
        listing.missing("no label", template.patient)
        return
    for sequence in SEQUENCES:
        scan = scans.get(sequence)
        if scan is not None:
            fields = template.__dict__ | {"sequence": sequence, "scan": scan, "label": label}
            listing.cases.append(Case(**fields))
