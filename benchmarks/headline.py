"""All methods side by side: real cases, phantoms, and lesions planted into healthy people.

    ANATOMALY_DATA=/path/to/data python benchmarks/headline.py [--run FOLDER] [--workers 2]

Measures what benchmarks/headline.toml says. Hours on two cores; killed, the same command goes on
where it stopped. `--tables` measures nothing and writes the tables of what is finished. `--keep
benchmarks/results/headline.csv` takes from there what this run has not measured; each row has the
day on which it was. Writes headline.md, headline.csv and headline.png, and the block of README.md
that quotes them.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from environment import RESULTS, data_folder

from anatomaly.evaluation.benchmark.config import read_config
from anatomaly.evaluation.benchmark.earlier import read_table
from anatomaly.evaluation.benchmark.run import run_benchmark, write_tables

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
MARKERS = "<!-- headline: begin (benchmarks/headline.py) -->\n", "<!-- headline: end -->"
COMMAND = "python benchmarks/headline.py"


def main() -> None:
    """Measure, or only write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/headline"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("ANATOMALY_DATA", str(data_folder()))
    config = read_config(str(HERE / "headline.toml"))
    earlier = read_table(arguments.keep) if arguments.keep else []
    if arguments.tables:
        write_tables(config, arguments.run, COMMAND, earlier)
    else:
        run_benchmark(config, arguments.run, arguments.workers, print, COMMAND, earlier)
    for ending in ("md", "csv", "png"):
        shutil.copyfile(arguments.run / f"table.{ending}", RESULTS / f"headline.{ending}")
    before, rest = README.read_text(encoding="utf-8").split(MARKERS[0])
    _, after = rest.split(MARKERS[1])
    quoted = quote((RESULTS / "headline.md").read_text(encoding="utf-8"))
    README.write_text(before + MARKERS[0] + quoted + MARKERS[1] + after, encoding="utf-8")


def quote(table: str) -> str:
    """Return the means of each method and the lead of ours, as headline.md states them."""
    overview = table.split("## Overview\n")[1].split("| data set |")[0]
    lines = overview.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| method"))
    return "\n".join(lines[start:]).strip() + "\n"


if __name__ == "__main__":
    main()
