"""Loss curves of a training run: each loss of each stage, means of 50 steps, or of fewer.

    python benchmarks/loss_curves.py runs/first [-o benchmarks/results/loss_curves.png]

Reads the `loss.csv` of every stage folder; further folders (earlier rounds) are drawn too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from environment import RESULTS

from anatomaly.report.drawing import new_figure


def main() -> None:
    """Draw one panel for each stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "loss_curves.png")
    arguments = parser.parse_args()
    logs = sorted(arguments.run.glob("*/loss.csv"))
    figure = new_figure(figsize=(4 * len(logs), 3.2), layout="constrained")
    for index, log in enumerate(logs):
        axes = figure.add_subplot(1, len(logs), index + 1)
        names = log.read_text().splitlines()[0].split(",")[1:]
        rows = np.atleast_2d(np.loadtxt(log, delimiter=",", skiprows=1))
        block = max(1, min(5, len(rows) // 8))
        usable = rows[: len(rows) // block * block].reshape(-1, block, rows.shape[1]).mean(1)
        for column, name in enumerate(names, start=1):
            axes.plot(usable[:, 0], usable[:, column], label=name)
        axes.set(title=log.parent.name, xlabel="step", yscale="log")
        axes.legend(fontsize=7)
    figure.savefig(arguments.output, dpi=90)


if __name__ == "__main__":
    main()
