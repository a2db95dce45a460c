"""Rows of an earlier table, for what this run does not measure again.

Who adds a method to a published table need not measure the others anew. A row says on which day it
was measured, so a table of several runs shows that it is one.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from pathlib import Path

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.benchmark.table import Row

_WORDS = ("dataset", "sequence", "method", "stratum", "status", "measured")
_COUNTS = ("people", "scans", "lesions", "healthy_scans", "parameters")


def read_table(path: Path) -> list[Row]:
    """Return the rows of a `table.csv`; what is empty there is missing here.

    Raises:
        EvaluationError: the file is not there or no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            lines = list(csv.DictReader(stream))
        rows = [{k: _read(k, v) for k, v in line.items() if v} for line in lines]
        if not [(*key_of(row), row["stratum"]) for row in rows]:
            raise ValueError("no rows")
    except (OSError, KeyError, ValueError) as error:
        raise EvaluationError(f"{path}: not the table of a benchmark ({error})") from error
    return rows


def keep_earlier(
    rows: Sequence[Row], earlier: Sequence[Row], measured: Collection[tuple[str, str, str]]
) -> list[Row]:
    """Put an earlier table's rows in the place of those of cells that this run did not measure.

    Args:
        rows: of this run, in the order of the table.
        earlier: of `read_table`.
        measured: data set, sequence and method of what this run measured, or failed to.

    Returns:
        The rows of both, in the order of `rows`.
    """
    there: dict[tuple[str, str, str], list[Row]] = {}
    for row in earlier:
        there.setdefault(key_of(row), []).append(row)
    earlier_rows: list[Row] = []
    for row in rows:
        key = key_of(row)
        earlier_rows += [row] if key in measured else there.get(key, [row])
    return earlier_rows


def key_of(row: Row) -> tuple[str, str, str]:
    """Return data set, sequence and method of a row."""
    return row["dataset"], row["sequence"], row["method"]


def _read(name: str, value: str) -> str | int | float:
    if name in _WORDS:
        return value
    return int(value) if name in _COUNTS else float(value)
