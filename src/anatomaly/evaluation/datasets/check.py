"""Opens what a reader found: grids that differ, masks that do not fit, scans that are doubled."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.catalogue import find_cases
from anatomaly.evaluation.datasets.dataset import Listing, Problem
from anatomaly.evaluation.labels import grid_difference, grid_of, lesion_of, read_voxels
from anatomaly.geometry import voxel_volume_mm3

OUTSIDE_SHARE = 0.05
"""More of a mask than this on voxels where the scan is 0 is worth a look."""

LARGE_SHARE = 0.25
"""More of the scan's nonzero voxels than this is no lesion."""


@dataclass(frozen=True)
class Report:
    """What a folder holds.

    Attributes:
        people: how many.
        patients: people at one time each.
        scans: count by sequence.
        labelled: patients with a label.
        healthy: patients who need none.
        lesion_ml: lesion volume of each labelled patient; empty where voxels were not read.
        problems: what is missing or looks wrong, in the order in which it was found.
    """

    people: int
    patients: int
    scans: dict[str, int]
    labelled: int
    healthy: int
    lesion_ml: dict[str, float]
    problems: tuple[Problem, ...]

    @property
    def is_sound(self) -> bool:
        """Whether something was found and nothing of it looks wrong."""
        return self.patients > 0 and all(problem.kind == "missing" for problem in self.problems)


def check_dataset(
    name: str,
    folder: Path,
    *,
    voxels: bool = True,
    progress: Callable[[str], None] = lambda patient: None,
) -> Report:
    """Check a folder against what its data set should be.

    Args:
        name: of the data set.
        folder: as the provider ships it.
        voxels: read masks and scans too; else headers and doubled files alone.
        progress: is told each patient.

    Raises:
        ConfigError: there is no such data set.
        EvaluationError: the folder is not there, or holds none of its cases.
    """
    listing = find_cases(name, folder)
    by_patient: dict[str, list[Case]] = defaultdict(list)
    for case in listing.cases:
        by_patient[case.patient].append(case)
    lesion_ml: dict[str, float] = {}
    for patient, cases in by_patient.items():
        progress(patient)
        fitting = [case for case in cases if _fits(case, listing)]
        if voxels and fitting and fitting[0].label is not None:
            volume = _check_voxels(fitting[0], listing)
            if volume is not None:
                lesion_ml[patient] = volume
    _note_doubled(listing)
    labelled = {case.patient for case in listing.cases if case.label is not None}
    return Report(
        people=len({case.person for case in listing.cases}),
        patients=len(by_patient),
        scans=dict(Counter(case.sequence for case in listing.cases)),
        labelled=len(labelled),
        healthy=len(by_patient) - len(labelled),
        lesion_ml=lesion_ml,
        problems=tuple(listing.problems),
    )


def _fits(case: Case, listing: Listing) -> bool:
    """Whether scan, label and brain mask can be opened and lie on one grid; notes if not."""
    try:
        grid = grid_of(case.scan)
    except EvaluationError:
        listing.wrong("scan cannot be read", f"{case.patient} {case.sequence}")
        return False
    before = len(listing.problems)
    for what, path in (("label", case.label), ("brain mask", case.brain_mask)):
        if path is None:
            continue
        try:
            difference = grid_difference(grid_of(path), grid)
        except EvaluationError:
            listing.wrong(f"{what} cannot be read", case.patient)
            continue
        if difference:
            where = f"{case.patient}: {difference}"
            listing.wrong(f"{what} is on another grid than {case.sequence}", where)
    return len(listing.problems) == before


def _check_voxels(case: Case, listing: Listing) -> float | None:
    """Note what is odd about a mask; return its lesion volume in mL, None if it cannot be read."""
    assert case.label is not None
    try:
        values, scan = read_voxels(case.label), read_voxels(case.scan)
    except EvaluationError as error:
        listing.wrong("file is damaged", str(error).split(": cannot")[0])
        return None
    numbers = np.unique(values)
    if not np.isfinite(numbers).all() or np.abs(numbers - np.rint(numbers)).max() > 0.01:
        listing.wrong("label holds other than whole numbers", case.patient)
        return None
    named = {0, *case.lesion_values, *case.open_values}
    if case.lesion_values and not set(np.rint(numbers).astype(int).tolist()) <= named:
        listing.wrong("label holds values that the provider does not name", case.patient)
    whole = np.rint(values)
    lesion = lesion_of(case, whole)
    size = int(lesion.sum())
    if not size:
        listing.wrong("label holds no lesion", case.patient)
    elif np.count_nonzero(scan[lesion] == 0) > OUTSIDE_SHARE * size:
        listing.wrong("label lies where the scan is 0", case.patient)
    if size > LARGE_SHARE * np.count_nonzero(scan):
        listing.wrong("label covers more than a quarter of the scan", case.patient)
    return float(size * voxel_volume_mm3(grid_of(case.label)[1]) / 1000)


def _note_doubled(listing: Listing) -> None:
    """Note scans of two patients that are the same file, byte by byte."""
    by_size: dict[int, list[Case]] = defaultdict(list)
    for case in listing.cases:
        if case.scan.is_file():
            by_size[case.scan.stat().st_size].append(case)
    seen: dict[str, Case] = {}
    for case in (case for cases in by_size.values() if len(cases) > 1 for case in cases):
        with case.scan.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        first = seen.setdefault(digest, case)
        if first is not case:
            what = f"{first.patient} {first.sequence} and {case.patient} {case.sequence}"
            listing.wrong("two scans are the same file", what)
