"""The whole table in a few lines: means over data sets and sequences, and the lead of one method.

Each data set × sequence counts once, however many people it has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from anatomaly.evaluation.benchmark.config import BenchmarkConfig
from anatomaly.evaluation.benchmark.table import Row
from anatomaly.evaluation.result_page import markdown_table

MEASURES = {"ap": "AP", "dice": "Dice", "f1": "lesion F1", "fp_ml_median": "healthy FP, mL"}
"""Columns of the rows that are averaged; false positives where there are healthy test scans."""


class Lead(NamedTuple):
    """By how much one method leads the best of its rivals in one measure.

    Attributes:
        own: mean of the method over data sets × sequences.
        rival: the rival with the highest mean.
        best: its mean.
    """

    own: float
    rival: str
    best: float

    @property
    def points(self) -> float:
        """The lead, in points of a hundred; below 0 where the rival is better."""
        return 100 * (self.own - self.best)


def places_of(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return data set and sequence of each part of a table, in its order."""
    return list(dict.fromkeys((row["dataset"], row["sequence"]) for row in rows))


def mean_of(rows: Sequence[Row], method: str, measure: str) -> tuple[float, int]:
    """Return a method's mean over the data sets × sequences that have the figure, and their number.

    >>> row = {"dataset": "d", "method": "m", "stratum": "all", "status": "ok"}
    >>> rows = [row | {"sequence": "T1w", "ap": 0.2}, row | {"sequence": "T2w", "ap": 0.4}]
    >>> mean_of(rows, "m", "ap")
    (0.3, 2)
    """
    values = [
        row[measure]
        for row in rows
        if row["method"] == method
        and (row["stratum"], row["status"]) == ("all", "ok")
        and not math.isnan(row.get(measure, math.nan))
    ]
    return (round(float(np.mean(values)), 12), len(values)) if values else (math.nan, 0)


def find_lead(rows: Sequence[Row], method: str, rivals: Sequence[str], measure: str) -> Lead | None:
    """Return the lead of a method over the best rival by their means.

    Who is not finished everywhere is no rival here: a mean over the easier part would be compared.

    Returns:
        None where the method is not finished everywhere itself, or no rival is.
    """
    places = len(places_of(rows))
    own, count = mean_of(rows, method, measure)
    means = {rival: mean_of(rows, rival, measure) for rival in rivals}
    whole = {rival: mean for rival, (mean, n) in means.items() if n == places}
    if count < places or not whole:
        return None
    best = max(whole, key=lambda rival: whole[rival])
    return Lead(own, best, whole[best])


def overview_lines(config: BenchmarkConfig, rows: Sequence[Row]) -> list[str]:
    """Return the overview as markdown; nothing for a table of one part and no leader."""
    places = places_of(rows)
    if len(places) < 2:
        return []
    table = []
    for method in _best_first(config.methods, rows):
        means = [mean_of(rows, method, measure) for measure in MEASURES]
        if means[0][1]:
            cells = ("" if math.isnan(mean) else f"{mean:.3f}" for mean, _ in means)
            table.append((method, f"{means[0][1]} of {len(places)}", *cells))
    lines = [
        "## Overview",
        "",
        f"Means over {len(places)} data sets × sequences, each counted once. A method that is not",
        "finished everywhere has the mean of what is finished, which is not comparable.",
        "",
        *markdown_table(("method", "finished", *MEASURES.values()), table),
    ]
    if config.leader:
        lines += ["", *_lead_lines(config, rows), "", *_place_lines(config, rows)]
    return [*lines, "", *_missing_lines(rows)]


def _lead_lines(config: BenchmarkConfig, rows: Sequence[Row]) -> list[str]:
    rivals = config.rivals
    count = sum(mean_of(rows, r, "ap")[1] == len(places_of(rows)) for r in rivals)
    lines = [
        f"`{config.leader}` minus the best of the {count} of {len(rivals)} rivals that are "
        "finished everywhere, by their means:",
        "",
    ]
    for measure in ("ap", "dice"):
        lead = find_lead(rows, config.leader, rivals, measure)
        lines.append(f"- {MEASURES[measure]}: {_in_words(lead)}")
    return lines


def _in_words(lead: Lead | None) -> str:
    if lead is None:
        return "not finished"
    return f"{lead.points:+.2f} points ({lead.own:.3f}, `{lead.rival}` {lead.best:.3f})"


def _place_lines(config: BenchmarkConfig, rows: Sequence[Row]) -> list[str]:
    """Return the lead in each data set and sequence, over whoever is finished there."""
    table = []
    for place in places_of(rows):
        here = [r for r in rows if (r["dataset"], r["sequence"]) == place]
        cells = [*place, str(sum(mean_of(here, rival, "ap")[1] for rival in config.rivals))]
        for measure in ("ap", "dice"):
            lead = find_lead(here, config.leader, config.rivals, measure)
            if lead is None:
                cells += [""] * 4
            else:
                cells += [f"{lead.own:.3f}", lead.rival, f"{lead.best:.3f}", f"{lead.points:+.2f}"]
        table.append(cells)
    columns = ["data set", "sequence", "rivals"]
    for name in ("AP", "Dice"):
        columns += [name, "best rival", f"its {name}", "points"]
    return markdown_table(columns, table, "llrrlrrrlrr")


def _best_first(methods: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Return methods by their number of finished parts, then by mean AP."""
    known = {method: mean_of(rows, method, "ap") for method in methods}
    return sorted(methods, key=lambda m: (-known[m][1], -known[m][0] if known[m][1] else 0.0))


def _missing_lines(rows: Sequence[Row]) -> list[str]:
    """Say which methods lack which parts; a reason stands in the part's own table."""
    places, missing = len(places_of(rows)), dict[str, list[str]]()
    for row in rows:
        if row["stratum"] == "all" and row["status"] != "ok":
            missing.setdefault(row["method"], []).append(f"{row['dataset']} {row['sequence']}")
    if not missing:
        return []
    figures = [
        f"`{method}` ({'all' if len(where) == places else ', '.join(where)})"
        for method, where in missing.items()
    ]
    return [f"Not measured: {'; '.join(figures)}. The same command goes on with them.", ""]
