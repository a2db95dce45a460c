"""Over many people: means and paired differences between methods, each with its interval.

What is drawn again is people, not scans: two scans of a person are no two witnesses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.metrics import bootstrap_interval


class Estimate(NamedTuple):
    """A mean over people with its bootstrap interval.

    Attributes:
        mean: of the people's means.
        low: lower end of the interval.
        high: upper end.
        people: how many.
        scans: how many of their scans have the figure.
    """

    mean: float
    low: float
    high: float
    people: int
    scans: int


def estimate_mean(values: Sequence[float], people: Sequence[str], *, seed: int) -> Estimate:
    """Mean over people and its 95 % interval; nan (no lesion, no figure) is left out.

    Args:
        values: one for each scan.
        people: who each scan is of.
        seed: of the bootstrap.

    Returns:
        All nan and no people where no scan has the figure.

    Raises:
        EvaluationError: lengths differ, or a value is infinite.

    >>> estimate_mean([0.25, 0.5, 0.75, float("nan")], ["a", "a", "b", "c"], seed=0)
    Estimate(mean=0.5625, low=0.375, high=0.75, people=2, scans=3)
    """
    if len(values) != len(people):
        raise EvaluationError(f"{len(values)} values for {len(people)} scans")
    by_person: dict[str, list[float]] = {}
    for person, value in zip(people, values, strict=True):
        if math.isinf(value):
            raise EvaluationError(f"the figure of {person} is infinite")
        if not math.isnan(value):
            by_person.setdefault(person, []).append(value)
    if not by_person:
        return Estimate(math.nan, math.nan, math.nan, 0, 0)
    means = [float(np.mean(own)) for own in by_person.values()]
    low, high = bootstrap_interval(means, seed=seed)
    scans = sum(map(len, by_person.values()))
    return Estimate(float(np.mean(means)), low, high, len(means), scans)


def paired_difference(
    first: Sequence[float], second: Sequence[float], people: Sequence[str], *, seed: int
) -> Estimate:
    """Mean of first − second over the same scans, with its 95 % interval.

    Both methods are measured on each scan, so that what makes a scan hard for both falls out.

    Args:
        first: figure of one method, one for each scan.
        second: of the other, same scans in the same order.
        people: who each scan is of.
        seed: of the bootstrap.

    Raises:
        EvaluationError: lengths differ, a value is infinite, or a scan has the figure for one
            method only (a missing figure depends on the label, so it must be missing for both).

    >>> paired_difference([0.5, 0.75], [0.25, 0.5], ["a", "b"], seed=0)
    Estimate(mean=0.25, low=0.25, high=0.25, people=2, scans=2)
    """
    if not len(first) == len(second) == len(people):
        raise EvaluationError(
            f"{len(first)} and {len(second)} values for {len(people)} scans; compare on the same"
        )
    for a, b, person in zip(first, second, people, strict=True):
        if math.isnan(a) != math.isnan(b):
            raise EvaluationError(f"{person}: one method has a figure ({a}), the other not ({b})")
    differences = [a - b for a, b in zip(first, second, strict=True)]
    return estimate_mean(differences, people, seed=seed)


def estimate_strata(
    rows: Sequence[Mapping[str, Any]], figure: str, by: Sequence[str], *, seed: int
) -> dict[tuple[Any, ...], Estimate]:
    """Mean and interval of a figure in each stratum (sequence, dataset, kind of lesion, ...).

    Args:
        rows: one for each scan, with the keys of `by`, `person` and the figure.
        figure: its key.
        by: keys that make a stratum; None where something is not known is a stratum of its own.
        seed: of the bootstrap, the same in each stratum.

    Returns:
        By the values of `by`, in the order of their first row.

    Raises:
        EvaluationError: a row lacks a key.
    """
    for row in rows:
        missing = {figure, "person", *by} - set(row)
        if missing:
            raise EvaluationError(f"a row lacks {', '.join(sorted(missing))}: {dict(row)}")
    strata: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        strata.setdefault(tuple(row[key] for key in by), []).append(row)
    return {
        key: estimate_mean([row[figure] for row in own], [row["person"] for row in own], seed=seed)
        for key, own in strata.items()
    }
