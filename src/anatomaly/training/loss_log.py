"""Loss curves: a CSV file with a line for each logged step, and no step twice."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path


def append_losses(path: Path, step: int, means: Mapping[str, float]) -> None:
    """Add a line; the first one brings the names of the losses."""
    new = not path.is_file()
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if new:
            writer.writerow(["step", *means])
        writer.writerow([step, *(f"{v:.5f}" for v in means.values())])


def drop_losses_after(path: Path, done: int) -> None:
    """Drop lines after the checkpoint, which the resumed run will write again."""
    if not path.is_file():
        return
    head, *rows = path.read_text("utf-8").splitlines()
    rows = [row for row in rows if int(row.split(",")[0]) <= done]
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8", newline="\n")
