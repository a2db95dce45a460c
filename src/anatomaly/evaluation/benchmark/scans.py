"""The scans of a benchmark: for learning, for thresholds, for the test; nobody in two of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from anatomaly.errors import EvaluationError
from anatomaly.types import BoolArray, FloatArray, MrSequence
from anatomaly.volume import PreparedImage, Volume


class OpenedScan(NamedTuple):
    """A scan without its label, ready to be scored.

    Attributes:
        prepared: what methods see.
        brain: bool, on the scan's own grid.
        bring: takes a score map on the working grid to the scan's own.
    """

    prepared: PreparedImage
    brain: Volume
    bring: Callable[[FloatArray], FloatArray]


class Truth(NamedTuple):
    """A label on the scan's own grid; both bool.

    Attributes:
        lesion: where the lesion is.
        open: where the label says neither lesion nor healthy.
    """

    lesion: BoolArray
    open: BoolArray


@dataclass(frozen=True)
class BenchmarkScan:
    """One scan, closed.

    Attributes:
        name: unique within data set and sequence.
        person: who it is; intervals draw people.
        sequence: T1w, T2w or FLAIR.
        open: loads the prepared image.
        label: reads the label; None for a healthy person.
        disease: what the lesions are; `healthy` without one.
        site: scanner or centre, where known.
        age: in years, None if not known.
        sex: F or M, empty if not known.
    """

    name: str
    person: str
    sequence: MrSequence
    open: Callable[[], OpenedScan]
    label: Callable[[], Truth] | None = None
    disease: str = "healthy"
    site: str = ""
    age: float | None = None
    sex: str = ""


class Parts(NamedTuple):
    """The scans of one data set, by what they are for.

    Attributes:
        train: healthy, to learn from.
        validation: healthy, for thresholds.
        lesions: of the test.
        healthy: of the test.
    """

    train: tuple[BenchmarkScan, ...]
    validation: tuple[BenchmarkScan, ...]
    lesions: tuple[BenchmarkScan, ...]
    healthy: tuple[BenchmarkScan, ...]


@dataclass(frozen=True)
class Split:
    """Who is for what.

    Attributes:
        train: healthy.
        validation: healthy, thresholds come from here.
        test: with lesions or healthy.

    Raises:
        EvaluationError: a person is in two parts, a part is empty, or train or validation hold
            a scan with a label.
    """

    train: tuple[BenchmarkScan, ...]
    validation: tuple[BenchmarkScan, ...]
    test: tuple[BenchmarkScan, ...]

    def __post_init__(self) -> None:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        for name, scans in parts.items():
            if not scans:
                raise EvaluationError(f"no scan for {name}; give more people or fewer parts")
            if name != "test" and any(scan.label is not None for scan in scans):
                raise EvaluationError(f"{name} holds a scan with a label; it must be healthy")
        for (one, first), (other, second) in itertools.combinations(parts.items(), 2):
            both = {scan.person for scan in first} & {scan.person for scan in second}
            if both:
                raise EvaluationError(f"{', '.join(sorted(both))}: both in {one} and in {other}")
