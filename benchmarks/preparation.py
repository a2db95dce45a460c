"""Preparation of every raw head and case: time of each stage, peak memory, quality figures.

    ANATOMALY_DATA=/path/to/data python benchmarks/preparation.py [--ixi 4]

Each scan is prepared in a process of its own, so that peak memory (the largest of this
process and of niimath) belongs to it alone. Wall time includes loading deepbet and the template
once; `cpu s`, user and system time of this process and niimath, is what to compare on a machine
that others use too. Nothing
is told about the sequence: the column `guess` is read from the image.
Writes benchmarks/results/preparation.{csv,md}.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from environment import RESULTS, data_folder, describe_run, healthy_heads

SEQUENCES = ("T1w", "T2w", "FLAIR")


def prepare_one(path: Path) -> dict[str, object]:
    """Prepare one scan in this process and return its row."""
    from anatomaly.config import PreprocessConfig
    from anatomaly.preprocess.chain import prepare
    from anatomaly.volume import Scan, Volume

    image = nib.load(path)
    volume = Volume(image.get_fdata(dtype=np.float32), image.affine)
    found = prepare(Scan(volume, path.name), PreprocessConfig(force=True))
    seconds = {step.name: 0.0 for step in found.trace.steps}
    for step in found.trace.steps:
        seconds[step.name] += step.seconds
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "scan": f"{path.parent.name}/{path.name.removesuffix('.nii.gz')}",
        "guess": found.sequence,
        "method": found.trace.extraction.method,
        **{name: round(value, 3) for name, value in found.trace.quality.items()},
        "attempts": found.trace.registration.attempts,
        **{f"{name} s": round(seconds.get(name, 0.0), 1) for name in STAGES},
        "total s": round(sum(seconds.values()), 1),
        "cpu s": round(sum(one.ru_utime + one.ru_stime for one in used), 1),
        "peak MB": round(max(one.ru_maxrss for one in used) / 1024),
        "warnings": len(found.trace.warnings),
    }


STAGES = (
    "reorient", "brain extraction", "bias field", "registration", "trimming", "resampling",
    "normalisation", "sequence",
)  # fmt: skip


def main() -> None:
    """Prepare all scans, one process each, and write the two result files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", type=Path, help="prepare this scan only and print its row")
    parser.add_argument("--ixi", type=int, default=4, help="IXI validation heads as well")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(prepare_one(given.one)))
        return
    data = data_folder()
    paths = [*sorted((data / "raw_heads").glob("*/*.nii.gz"))]
    paths += [p for p in sorted((data / "cases").glob("*/*.nii.gz")) if p.name[:-7] in SEQUENCES]
    paths += healthy_heads(given.ixi)
    rows = []
    for path in paths:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(path)],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    columns = list(rows[0])
    with (RESULTS / "preparation.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    lines = ["# Preparation of raw heads, cases and IXI heads", ""]
    lines += [describe_run("python benchmarks/preparation.py", seed=None), ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row[c]) for c in columns) + " |" for row in rows]
    (RESULTS / "preparation.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
