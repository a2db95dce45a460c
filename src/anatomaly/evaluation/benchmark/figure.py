"""The table as a picture: AP of each method with its interval, a panel a data set and sequence."""

from __future__ import annotations

from pathlib import Path

from anatomaly.evaluation.benchmark.table import Row


def draw_figure(rows: list[Row], path: Path) -> None:
    """Draw the rows of all scans.

    Args:
        rows: of `table.summarise`.
        path: of the PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kept = [row for row in rows if row["stratum"] == "all"]
    places = list(dict.fromkeys((row["dataset"], row["sequence"]) for row in kept))
    methods = list(dict.fromkeys(row["method"] for row in kept))
    size = (3.2 * len(places) + 1.8, 0.32 * len(methods) + 1.4)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(places), sharey=True, squeeze=False)[0]
    for axis, place in zip(axes, places, strict=True):
        own = {r["method"]: r for r in kept if (r["dataset"], r["sequence"]) == place}
        for height, method in enumerate(reversed(methods)):
            row = own[method]
            if row["status"] != "ok":
                axis.text(0.02, height, "failed", va="center", fontsize=8, color="0.5")
                continue
            axis.plot([row["ap_low"], row["ap_high"]], [height] * 2, color="0.6", linewidth=2)
            axis.plot(row["ap"], height, "o", color="#1f5fa8", markersize=6)
        axis.set_title(f"{place[0]}, {place[1]}", fontsize=10)
        axis.set_xlabel("average precision")
        axis.set_xlim(0, 1)
        axis.set_yticks(range(len(methods)), list(reversed(methods)))
        axis.grid(axis="x", color="0.9")
    temporary = path.with_suffix(".partial")
    figure.savefig(temporary, format="png", dpi=130)
    temporary.replace(path)
