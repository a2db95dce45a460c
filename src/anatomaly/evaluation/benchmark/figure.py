"""The table as a picture: AP with its interval; a row for each data set, a column a sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomaly.evaluation.benchmark.table import UNFINISHED, Row
from anatomaly.report.drawing import new_figure
from anatomaly.whole_file import whole_file


def draw_figure(rows: list[Row], path: Path) -> None:
    """Draw the rows of all scans.

    Args:
        rows: of `table.summarise`.
        path: of the PNG file.
    """
    whole_rows = [row for row in rows if row["stratum"] == "all"]
    datasets, sequences, methods = (
        list(dict.fromkeys(row[name] for row in whole_rows))
        for name in ("dataset", "sequence", "method")
    )
    size = (3.2 * len(sequences) + 1.8, (0.26 * len(methods) + 0.9) * len(datasets))
    figure = new_figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(datasets), len(sequences), sharex=True, sharey=True, squeeze=False)
    for line, dataset in zip(axes, datasets, strict=True):
        for axis, sequence in zip(line, sequences, strict=True):
            here = [r for r in whole_rows if (r["dataset"], r["sequence"]) == (dataset, sequence)]
            axis.set_title(f"{dataset}, {sequence}", fontsize=10)
            _draw_panel(axis, {row["method"]: row for row in here}, methods)
    for axis in axes[-1]:
        axis.set_xlabel("average precision")
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_panel(axis: Any, rows: dict[str, Row], methods: list[str]) -> None:
    """Draw the methods of one data set and sequence, the first one on top."""
    for height, method in enumerate(reversed(methods)):
        row = rows[method]
        if row["status"] != "ok":
            why = "–" if row["status"] == UNFINISHED else "failed"
            axis.text(0.02, height, why, va="center", fontsize=8, color="0.5")
            continue
        axis.plot([row["ap_low"], row["ap_high"]], [height] * 2, color="0.6", linewidth=2)
        axis.plot(row["ap"], height, "o", color="#1f5fa8", markersize=5)
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.7, len(methods) - 0.3)
    axis.set_yticks(range(len(methods)), list(reversed(methods)))
    axis.grid(axis="x", color="0.9")
