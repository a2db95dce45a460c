"""Preparation of every raw head and case: time of each stage, peak memory, quality figures.

    ANATOMALY_DATA=/path/to/data python benchmarks/preparation.py [--ixi 4]

Each scan is prepared in a process of its own, so that peak memory (the largest of this
process and of niimath) belongs to it alone. Wall time includes loading deepbet and the template
once; `cpu s`, user and system time of this process and niimath, is what to compare on a machine
that others use too. Nothing is told about the sequence: the column `guess` is read from the image.
Writes benchmarks/results/preparation.{csv,md}.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

from environment import (
    data_folder,
    describe_run,
    healthy_heads,
    read_volume,
    write_csv,
    write_page,
)

from anatomaly.evaluation.result_page import markdown_table
from anatomaly.types import SEQUENCES

STAGES = (
    "reorient", "outliers", "cropping", "brain extraction", "bias field", "registration",
    "trimming", "bias field of both hemispheres", "resampling", "normalisation", "appearance",
    "sequence",
)  # fmt: skip


def prepare_one(path: Path) -> dict[str, object]:
    """Prepare one scan in this process and return its row."""
    from anatomaly.config import PreprocessConfig
    from anatomaly.preprocess.chain import prepare
    from anatomaly.volume import Scan

    prepared = prepare(Scan(read_volume(path), path.name), PreprocessConfig(force=True))
    seconds = dict.fromkeys(STAGES, 0.0)
    for step in prepared.trace.steps:
        seconds[step.name] += step.seconds
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "scan": f"{path.parent.name}/{path.name.removesuffix('.nii.gz')}",
        "guess": prepared.image.sequence,
        "method": prepared.trace.extraction.method,
        **{name: round(value, 3) for name, value in prepared.trace.quality.items()},
        "attempts": prepared.trace.registration.attempts,
        **{f"{name} s": round(seconds[name], 1) for name in STAGES},
        "total s": round(sum(seconds.values()), 1),
        "cpu s": round(sum(one.ru_utime + one.ru_stime for one in used), 1),
        "peak MB": round(max(one.ru_maxrss for one in used) / 1024),
        "warnings": len(prepared.trace.warnings),
    }


def main() -> None:
    """Prepare all scans, one process each, and write the two result files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", type=Path, help="prepare this scan only and print its row")
    parser.add_argument("--ixi", type=int, default=4, help="IXI validation heads as well")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(prepare_one(options.one)))
        return
    data = data_folder()
    paths = [*sorted((data / "raw_heads").glob("*/*.nii.gz"))]
    paths += [p for p in sorted((data / "cases").glob("*/*.nii.gz")) if p.name[:-7] in SEQUENCES]
    paths += healthy_heads(options.ixi)
    rows = []
    for path in paths:
        command = [sys.executable, __file__, "--one", str(path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    write_csv("preparation", rows)
    lines = ["# Preparation of raw heads, cases and IXI heads", ""]
    lines += [describe_run("python benchmarks/preparation.py", seed=None), ""]
    lines += markdown_table(list(rows[0]), (row.values() for row in rows), "l")
    write_page("preparation", lines)


if __name__ == "__main__":
    main()
