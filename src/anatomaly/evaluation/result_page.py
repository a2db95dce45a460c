"""Pages of results: tables in Markdown, and the paragraph that says what made them."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version


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


def describe_run(command: str, machine: str, packages: Sequence[str], seed: int | None) -> str:
    """Return command, date, machine, versions and seed as one paragraph.

    Args:
        command: that made the results; empty for none.
        machine: what is to be said of it beside its architecture.
        packages: whose versions matter.
        seed: of what was drawn; None where nothing was.
    """
    versions = ", ".join(f"{name} {_version_of(name)}" for name in packages)
    return (
        f"{command and f'`{command}`, '}{datetime.date.today().isoformat()}; "
        f"{platform.machine()}, {machine}; Python {platform.python_version()}, {versions}; "
        f"{'no random numbers' if seed is None else f'seed {seed}'}."
    )


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from source"
