"""Tables as files: CSV for programs, markdown for people, and the check against another run."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anatomaly.evaluation.benchmark.cell import Cell
from anatomaly.evaluation.benchmark.config import BenchmarkConfig
from anatomaly.evaluation.benchmark.earlier import key_of, read_table
from anatomaly.evaluation.benchmark.method import find_method
from anatomaly.evaluation.benchmark.overview import overview_lines, places_of
from anatomaly.evaluation.benchmark.table import SIZE_NAMES, UNFINISHED, Row, scan_rows
from anatomaly.evaluation.result_page import describe_run, markdown_table
from anatomaly.weights import find_weights
from anatomaly.weights_card import read_card
from anatomaly.whole_file import whole_file

_PACKAGES = ("anatomaly", "torch", "monai", "lightning", "numpy", "scipy", "nilearn")
_GAINS = ("ap_gain", "dice_gain")
_PHANTOMS = (
    "",
    "Phantoms are drawn: smooth, perfectly stripped and registered, with lesions of one kind. They",
    "show that a method works and compare methods; they promise nothing for patients.",
)


def write_scans(cells: Sequence[Cell], path: Path) -> None:
    """Write one line for each test scan and method; lesions by their own volumes stay in JSON."""
    rows = []
    for cell in cells:
        rows += [cell.who | row for row in scan_rows(cell)]
    _write_csv(path, [{k: v for k, v in row.items() if k != "match"} for row in rows])


def write_table(config: BenchmarkConfig, rows: list[Row], folder: Path, command: str) -> None:
    """Write `table.csv` (every stratum) and `table.md`.

    Args:
        config: of the benchmark.
        rows: of `table.summarise`.
        folder: where to.
        command: that made them, written below the table.
    """
    _write_csv(folder / "table.csv", rows)
    with whole_file(folder / "table.md") as temporary:
        temporary.write_text(as_markdown(config, rows, command), encoding="utf-8", newline="\n")


def as_markdown(config: BenchmarkConfig, rows: list[Row], command: str) -> str:
    """Return the table for people: one part for each data set and sequence, then methods."""
    lines = [f"# Benchmark {config.name}", "", *_how_to_read(config), ""]
    lines += overview_lines(config, rows)
    for dataset, sequence in places_of(rows):
        own = [r for r in rows if (r["dataset"], r["sequence"]) == (dataset, sequence)]
        lines += [f"## {dataset}, {sequence}", "", *_counts(own), *_main_table(own, config), ""]
        lines += _strata_table(own)
    cards = [(name, find_method(name)) for name in config.methods]
    methods = [(f"{name} ({card.title})", card.source, card.differs) for name, card in cards]
    lines += ["## Methods", "", *markdown_table(("method", "source", "what differs"), methods, "l")]
    return "\n".join([*lines, "", _provenance(config, command), *_days(rows), ""])


def compare_tables(path: Path, rows: list[Row], tolerance: float) -> list[str]:
    """Return in words where AP over all scans differs from another table's by too much.

    Args:
        path: `table.csv` of another run.
        rows: of this run.
        tolerance: largest difference of a mean AP.

    Raises:
        EvaluationError: the file is not there or no such table.
    """
    other = {_key(r): r for r in read_table(path) if r["stratum"] == "all"}
    entries = []
    for row in (row for row in rows if row["stratum"] == "all"):
        there = other.pop(_key(row), None)
        if there is None:
            entries.append(f"{' '.join(_key(row))}: not in {path.name}")
            continue
        was, now = float(there.get("ap", math.nan)), float(row.get("ap", math.nan))
        if math.isnan(was) != math.isnan(now) or abs(was - now) > tolerance:
            entries.append(f"{' '.join(_key(row))}: AP {was:.3f} there, {now:.3f} here")
    return entries + [f"{' '.join(key)}: not in this run" for key in other]


def _key(row: dict[str, Any]) -> tuple[str, str, str, str]:
    return *key_of(row), row["stratum"]


def _how_to_read(config: BenchmarkConfig) -> list[str]:
    budget = config.budget
    return [
        "AP, Dice and F1: higher is better; means over people, in brackets the 95 % bootstrap",
        "interval over people. Dice and F1 are taken at one threshold for each method, fixed on",
        "healthy validation scans before any label was opened. `oracle` is the best Dice over all",
        "thresholds, chosen on the label: an upper bound, never a result. F1 counts lesions; a",
        "column for sizes counts true and found ones each by their own volume. FP: false positives",
        "in healthy test scans. Pieces of a mask under 20 mm³ are dropped, for every method. Gain:",
        f"AP minus that of `{config.against}`, same scans.",
        "",
        f"Every network was trained for {budget.steps} steps of {budget.batch} slices on the same",
        "prepared healthy scans (one network a sequence); `ours*` use shipped weights, trained",
        "beforehand, for hours and on more data.",
        *(["", config.notes.strip()] if config.notes else ()),
        *(_PHANTOMS if any(plan.kind == "phantoms" for plan in config.datasets) else ()),
    ]


def _counts(rows: list[Row]) -> list[str]:
    some = next((r for r in rows if r["stratum"] == "all" and r["status"] == "ok"), None)
    if some is None:
        return []
    healthy = some.get("healthy_scans", 0)
    lesions = f"{some['people']} people with {some['lesions']} lesions"
    return [f"{lesions} ({some['scans']} scans), {healthy} healthy test scans.", ""]


def _main_table(rows: list[Row], config: BenchmarkConfig) -> list[str]:
    sizes = [name.removeprefix("f1_").replace("_", " ") for name in SIZE_NAMES]
    head = ["method", "AP", "Dice", "oracle", "gain", "F1", *(f"F1 {size}" for size in sizes)]
    head += ["FP mL, median", "FP mL, 95 %", "s a scan", "peak GB", "parameters"]
    table = []
    for row in (row for row in rows if row["stratum"] == "all"):
        if row["status"] != "ok":
            reason = row["status"] if row["status"] == UNFINISHED else f"failed: {row['status']}"
            table.append([row["method"], reason, *[""] * (len(head) - 2)])
            continue
        cells = [row["method"], *(_interval(row, n) for n in ("ap", "dice", "dice_oracle"))]
        cells.append("" if row["method"] == config.against else _interval(row, "ap_gain"))
        figures = ("f1", *SIZE_NAMES, "fp_ml_median", "fp_ml_95")
        cells += [_number(row.get(name), 2) for name in figures]
        cells += [_number(row.get(name), 1) for name in ("seconds", "peak_gb")]
        table.append([*cells, f"{row['parameters']:,}"])
    return markdown_table(head, table)


def _strata_table(rows: list[Row]) -> list[str]:
    strata = dict.fromkeys(r["stratum"] for r in rows if r["stratum"] != "all")
    if not strata:
        return []
    table = []
    for method in dict.fromkeys(r["method"] for r in rows if r["status"] == "ok"):
        own = {r["stratum"]: r for r in rows if r["method"] == method}
        table.append([method, *(_interval(own[s], "ap") if s in own else "" for s in strata)])
    return [*markdown_table(("AP of", *strata), table), ""]


def _interval(row: Row, name: str) -> str:
    value = row.get(name, math.nan)
    if math.isnan(value):
        return ""
    sign = "+" if name in _GAINS else ""
    return f"{value:{sign}.3f} ({row[f'{name}_low']:{sign}.3f} to {row[f'{name}_high']:{sign}.3f})"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _provenance(config: BenchmarkConfig, command: str) -> str:
    """Return command, date, machine, versions, seed, and the weights of `ours*`."""
    card = read_card(find_weights("default"))
    machine = f"{os.cpu_count()} cores, {config.budget.threads} thread(s) a method"
    return (
        f"{describe_run(command, machine, _PACKAGES, config.seed, card)} "
        "Seconds are wall time, so they vary with what else the machine does; on another "
        f"machine AP may differ by {config.tolerance_ap}."
    )


def _days(rows: Sequence[Row]) -> list[str]:
    """Say how many rows were measured on which day, where it was not one day."""
    days = Counter(row["measured"] for row in rows if row.get("measured"))
    if len(days) < 2:
        return []
    counted = ", ".join(f"{count} on {day}" for day, count in sorted(days.items()))
    text = f"Kept from earlier runs in part: of the rows over all scans {counted} (`measured`)."
    return ["", text]


def _write_csv(path: Path, rows: list[Row]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows([{key: _plain(value) for key, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    """Return a value as it stands in the CSV: five digits, nothing for nan."""
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.5g}"
