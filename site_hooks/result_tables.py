"""Tables of the page on limits, read from `benchmarks/results` whenever the site is built."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"

Row = dict[str, str]


def worst_scans() -> str:
    """Return the scans of the detection benchmark, the lowest Dice first."""
    rows = read_table("detection.md", "patient", "lesion_ml", "found_ml")
    rows.sort(key=lambda row: float(row["dice"]))
    case = ("sequence", "disease", "patient", "lesion_ml", "found_ml")
    return write_table(rows, (*case, "dice", "ap", "ap_threshold"))


def kinds_of_lesion() -> str:
    """Return mean AP by kind of drawn lesion, the hardest kind first."""
    kinds: dict[str, Row] = {}
    for row in read_table("validation.md", "score", "haemorrhage"):
        score = row.pop("score")
        for kind, figure in row.items():
            kinds.setdefault(kind, {"kind": kind})[score] = figure
    rows = sorted(kinds.values(), key=lambda row: float(row["refined"]))
    return write_table(rows, ("kind", "refined", "intensity threshold"))


def healthy_summary() -> str:
    """Return the paragraphs on thresholds and false positives in healthy heads.

    Raises:
        LookupError: the file has other paragraphs now.
    """
    paragraphs = (RESULTS / "healthy.md").read_text(encoding="utf-8").split("\n\n")
    found = [p for p in paragraphs if p.startswith(("Threshold", "At the threshold"))]
    if len(found) != 2:
        raise LookupError("healthy.md has no paragraphs on both thresholds; see site_hooks")
    return "\n\n".join(found)


def noisy_heads() -> str:
    """Return the healthy heads in which something was found, the most first."""
    rows = [r for r in read_table("healthy.md", "person", "mL, card") if r["pieces, card"] != "0"]
    rows.sort(key=lambda row: -float(row["mL, card"]))
    return write_table(rows, ("person", "mL, card", "pieces, card", "highest score"))


def deformed_brains() -> str:
    """Return what the score makes of deformed brains without a lesion."""
    rows = read_table("experiments.md", "deformation", "mean changed")
    used = [row for row in rows if row["score"] == "as used"]
    columns = ("average precision", "undeformed", "chance", "above threshold")
    return write_table(used, ("deformation", *columns))


def weights_of(name: str, section: str = "") -> str:
    """Return which weights the figures of a result file are of.

    Args:
        name: of the file in `benchmarks/results`.
        section: heading below which to look; the whole file without one.

    Raises:
        LookupError: the file does not say.
    """
    text = (RESULTS / name).read_text(encoding="utf-8")
    found = re.search(rf"{section}[\s\S]*?(Weights [\w-]+, SHA-256 \w+)", text)
    if found is None:
        raise LookupError(f"{name} does not say which weights its figures are of")
    return f"{found[1]}… (`benchmarks/results/{name}`)"


def read_table(name: str, *columns: str) -> list[Row]:
    """Return the rows of the first table of a result file that has certain columns.

    Args:
        name: of the file in `benchmarks/results`.
        columns: that the table must have.

    Raises:
        LookupError: the file has no such table: its benchmark writes another one now.
    """
    lines = (RESULTS / name).read_text(encoding="utf-8").splitlines()
    for start, line in enumerate(lines):
        header = _cells(line)
        if set(columns) <= set(header):
            below = lines[start + 2 :]
            end = next((n for n, row in enumerate(below) if not row.startswith("|")), len(below))
            return [dict(zip(header, _cells(row), strict=True)) for row in below[:end]]
    raise LookupError(f"{name} has no table with the columns {columns}; see site_hooks")


def write_table(rows: list[Row], columns: Iterable[str]) -> str:
    """Return a table in Markdown, figures to the right.

    >>> print(write_table([{"who": "A", "mL": "1.5", "left out": "x"}], ["who", "mL"]))
    | who | mL |
    |---|---:|
    | A | 1.5 |
    """
    columns = list(columns)
    right = ["---:" if rows and rows[0][name][:1].isdigit() else "---" for name in columns]
    lines = [f"| {' | '.join(columns)} |", f"|{'|'.join(right)}|"]
    lines += [f"| {' | '.join(row[name] for name in columns)} |" for row in rows]
    return "\n".join(lines)


def _cells(line: str) -> list[str]:
    """Return the cells of a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
