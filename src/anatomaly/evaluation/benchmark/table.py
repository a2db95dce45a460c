"""From what was measured in each scan to a row for each method, data set, sequence and stratum."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from anatomaly.evaluation.benchmark.cell import FAILED, FINISHED, Cell
from anatomaly.evaluation.benchmark.config import BenchmarkConfig
from anatomaly.evaluation.comparison import Estimate, estimate_mean, paired_difference
from anatomaly.evaluation.healthy import FalsePositives, summarise_healthy
from anatomaly.evaluation.metrics_lesionwise import LesionMatch, figures_by_size, lesion_figures

Row: TypeAlias = dict[str, Any]

SIZE_EDGES_MM3 = (0.0, 100.0, 1_000.0, 10_000.0, math.inf)
SIZE_NAMES = ("f1_to_0.1ml", "f1_to_1ml", "f1_to_10ml", "f1_above_10ml")
UNFINISHED = "not finished"
"""Status of a cell that has neither been measured nor failed yet."""

FIGURES = ("ap", "dice", "dice_oracle")
"""Means over people with intervals; `dice_oracle` is an upper bound, never a result."""

STRATA: dict[str, Callable[[Row], str | None]] = {
    "lesion volume": lambda row: _volume_group(row.get("lesion_ml")),
    "disease": lambda row: row["disease"] or None,
    "site": lambda row: row["site"] or None,
    "sex": lambda row: row["sex"] or None,
    "age": lambda row: None if row["age"] is None else f"{10 * int(row['age'] // 10)}s",
}


def summarise(config: BenchmarkConfig, cells: list[Cell]) -> list[Row]:
    """Return the rows of the table; a method that failed or is not finished has its status alone.

    Columns: who and what; `ap`, `dice`, `dice_oracle` with `_low` and `_high`, the ends of the
    95 % bootstrap interval over people; `ap_gain` and `dice_gain` over the method compared with;
    lesion-wise `f1`, also by size of lesion; false positives in healthy test scans; cost.

    Args:
        config: of the benchmark.
        cells: all that belong to the table.
    """
    scans = {cell.name: scan_rows(cell) for cell in cells if cell.ledger.read(FINISHED)}
    rows: list[Row] = []
    for cell in cells:
        who = cell.who
        if cell.name not in scans:
            failed = cell.ledger.read(FAILED)
            reason = failed["error"] if failed else UNFINISHED
            rows.append(who | {"stratum": "all", "status": reason})
            continue
        other = scans.get(f"{cell.plan.name} {cell.sequence} {config.against}")
        for stratum, keep in strata_of(scans[cell.name]).items():
            own = [row for row in scans[cell.name] if keep(row)]
            beside = [row for row in other if keep(row)] if other else None
            row = who | {"stratum": stratum, "status": "ok"} | figures(own, beside, config.seed)
            if stratum == "all":
                seconds = float(np.median([r["seconds"] for r in own])) if own else math.nan
                row |= {"seconds": seconds, **(cell.ledger.read(FINISHED) or {})}
            rows.append(row)
    return rows


def scan_rows(cell: Cell) -> list[Row]:
    """Return what was measured in each test scan of a cell, in the order of their names."""
    names = sorted(path.stem for path in (cell.ledger.folder / "scans").glob("*.json"))
    return [cell.ledger.read(f"scans/{name}") or {} for name in names]


def strata_of(rows: list[Row]) -> dict[str, Callable[[Row], bool]]:
    """Return all scans, and each stratum of a property that differs between scans with lesions."""
    strata: dict[str, Callable[[Row], bool]] = {"all": lambda row: True}
    for name, group in STRATA.items():
        values = {group(row) for row in rows if not row["healthy"]} - {None}
        if len(values) < 2:
            continue
        for value in sorted(str(v) for v in values):
            strata[f"{name}: {value}"] = partial(_belongs, group, value)
    return strata


def _belongs(group: Callable[[Row], str | None], value: str, row: Row) -> bool:
    return group(row) == value


def figures(rows: list[Row], other: list[Row] | None, seed: int) -> Row:
    """Return the figures of one method over scans.

    Args:
        rows: of the method.
        other: of the method compared with, the same scans; None leaves the gain out.
        seed: of the bootstrap.
    """
    ill = [row for row in rows if not row["healthy"]]
    people = [row["person"] for row in ill]
    out: Row = {"people": len(set(people)), "scans": len(ill)}
    for name in FIGURES:
        values = [row[name] for row in ill]
        out |= _with_ends(name, estimate_mean(values, people, seed=seed))
        if other is not None and name != "dice_oracle":
            beside = [row[name] for row in other if not row["healthy"]]
            gain = paired_difference(values, beside, people, seed=seed)
            out |= _with_ends(f"{name}_gain", gain)
    matches = [LesionMatch(**{k: tuple(v) for k, v in row["match"].items()}) for row in ill]
    together = lesion_figures(matches)
    out |= {"lesions": together.lesions, "f1": together.f1}
    sized = figures_by_size(matches, SIZE_EDGES_MM3)
    out |= {name: size.figures.f1 for name, size in zip(SIZE_NAMES, sized, strict=True)}
    well = [row for row in rows if row["healthy"]]
    if well:
        wrong = [FalsePositives(r["fp_ml"], r["fp_pieces"], math.nan, math.nan) for r in well]
        summary = summarise_healthy(wrong)
        out |= {
            "healthy_scans": summary.scans,
            "fp_ml_median": summary.median_ml,
            "fp_ml_95": summary.high_ml,
            "fp_pieces_median": summary.median_pieces,
        }
    return out


def _volume_group(lesion_ml: float | None) -> str | None:
    if lesion_ml is None:
        return None
    return "< 1 mL" if lesion_ml < 1 else "1 to 10 mL" if lesion_ml < 10 else "> 10 mL"


def _with_ends(name: str, estimate: Estimate) -> Row:
    return {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
