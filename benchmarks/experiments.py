"""The experiments on the method's claims, with the default weights; `anatomaly experiments`.

    [ANATOMALY_DATA=/path/to/data] python benchmarks/experiments.py [--weights NAME] [--only NAME]

Writes benchmarks/results/experiments.json and .md, and experiments_<name>.png for each. With
`--only` (may be repeated) the others keep the figures that they have. About 15 minutes on a busy
core; with the folder of real scans, disentanglement adds the MNI152 pair.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from environment import RESULTS, ROOT, describe_run

from anatomaly.evaluation.experiments.catalogue import (
    EXPERIMENTS,
    in_words,
    load_detector,
    write_experiment,
)
from anatomaly.networks import keep_freed_memory, limit_threads

RECORD, TABLE = RESULTS / "experiments.json", RESULTS / "experiments.md"
COMMAND = "python benchmarks/experiments.py"
ABOUT = ("experiment", "weights", "sha256", "seed", "count", "seconds", "run")


def main() -> None:
    """Run the experiments one after the other; each result is kept as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=list(EXPERIMENTS))
    arguments = parser.parse_args()
    keep_freed_memory()
    detector = load_detector(arguments.weights)
    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    for name in arguments.only or EXPERIMENTS:
        experiment, start = EXPERIMENTS[name], time.perf_counter()
        with limit_threads(1):
            result = experiment.run(detector, arguments.seed, experiment.count, find_pair())
        about = {
            "weights": detector.card.name,
            "sha256": detector.card.sha256,
            "seed": arguments.seed,
            "count": experiment.count,
            "seconds": round(time.perf_counter() - start),
            "run": describe_run(COMMAND, arguments.seed, detector.card),
        }
        with TemporaryDirectory() as folder:
            picture, figures = write_experiment(name, result, Path(folder), about)
            picture_of(name).write_bytes(picture.read_bytes())
            known[name] = json.loads(figures.read_text(encoding="utf-8"))
        RECORD.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        TABLE.write_text(describe_all(known), encoding="utf-8")
        print(f"{name}: {about['seconds']} s", flush=True)


def find_pair() -> Path | None:
    """Return the folder of real scans if it holds the template pair, else None."""
    folder = Path(os.environ.get("ANATOMALY_DATA", ROOT.parent / "shared" / "data"))
    return folder if (folder / "templates").is_dir() else None


def picture_of(name: str) -> Path:
    """Where the picture of an experiment lies."""
    return RESULTS / f"experiments_{name}.png"


def describe_all(known: dict[str, dict[str, Any]]) -> str:
    """Return the page of all experiments that have figures."""
    lines = [
        "# Experiments",
        "",
        "What each column means: [reference](../../docs/reference/experiments.md). Brains are",
        "drawn (population means, bent), registered perfectly and healthy; only `MNI152` is a",
        "real image, an average of many people.",
        "",
    ]
    for name, experiment in EXPERIMENTS.items():
        if name in known:
            lines += describe(name, experiment.question, known[name])
    return "\n".join(lines)


def describe(name: str, question: str, content: dict[str, Any]) -> list[str]:
    """Return the lines of one experiment: question, tables, picture and what made them."""
    lines = [f"## {name}", "", question, ""]
    for title, rows in content.items():
        if title in ABOUT:
            continue
        keys = list(rows[0])
        lines += ["| " + " | ".join(key.replace("_", " ") for key in keys) + " |"]
        lines += ["|" + "".join("---|" if isinstance(rows[0][k], str) else "---:|" for k in keys)]
        lines += ["| " + " | ".join(cell(row[key]) for key in keys) + " |" for row in rows]
        lines += [""]
    lines += [f"![{question}]({picture_of(name).name})", ""]
    lines += [
        f"Weights {content['weights']}, SHA-256 {content['sha256'][:16]}…; brains: "
        f"{content['count']}; {content['seconds']} s on one thread. {content['run']}",
        "",
    ]
    return lines


def cell(value: Any) -> str:
    """Return a figure as text; what JSON holds as null has none."""
    return "" if value is None else in_words(value)


if __name__ == "__main__":
    main()
