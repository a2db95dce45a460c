"""Pages of results: tables in Markdown, and the paragraph that says what made them."""

from __future__ import annotations

import datetime
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from anatomaly.weights import preparation_hash
from anatomaly.weights_card import WeightsCard


def markdown_table(
    columns: Sequence[str], rows: Iterable[Iterable[object]], sides: str = "lr"
) -> list[str]:
    """Return the lines of a table.

    Args:
        columns: names of the columns.
        rows: the cells of each row.
        sides: for each column `l` (words) or `r` (numbers); the last letter goes on to the end.

    >>> markdown_table(("case", "mL"), [("a", 1.5)])
    ['| case | mL |', '|---|---:|', '| a | 1.5 |']
    """
    sides = sides.ljust(len(columns), sides[-1])[: len(columns)]
    lines = ["| " + " | ".join(columns) + " |"]
    lines.append("|" + "".join("---|" if side == "l" else "---:|" for side in sides))
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def describe_run(
    command: str,
    machine: str,
    packages: Sequence[str],
    seed: int | None,
    card: WeightsCard | None = None,
) -> str:
    """Return weights, command, code, date, machine, versions and seed as a paragraph.

    Args:
        command: that made the results; empty for none.
        machine: what is to be said of it beside its architecture.
        packages: whose versions matter.
        seed: of what was drawn; None where nothing was.
        card: of the weights that were measured; None where none were.
    """
    weights = ""
    if card is not None:
        scorer = f"{card.scorer_sha256[:16]}…" if card.scorer_sha256 else "none"
        weights = f"Weights {card.name}, SHA-256 {card.sha256[:16]}…, scorer {scorer}.\n"
    versions = ", ".join(f"{name} {_version_of(name)}" for name in packages)
    return (
        f"{weights}{command and f'`{command}`, '}commit {commit_of(Path(__file__).parent)}, "
        f"preparation {preparation_hash()}, {datetime.date.today().isoformat()}; "
        f"{platform.machine()}, {machine}; Python {platform.python_version()}, {versions}; "
        f"{'no random numbers' if seed is None else f'seed {seed}'}."
    )


def commit_of(folder: Path) -> str:
    """Return the short commit of the checkout that a folder lies in, or that there is none."""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from source"
