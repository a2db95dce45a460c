"""Time and memory of `detect`, stage by stage, each scan in a process of its own.

    ANATOMALY_DATA=/path/to/data python benchmarks/speed.py [--threads 2]

Writes benchmarks/results/speed.md. Machines are noisy: trust the shares, not the seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from environment import RESULTS, data_folder, describe_run

from anatomaly.config import DetectConfig
from anatomaly.weights import find_weights
from anatomaly.weights_card import read_card

SCANS = (
    "raw_heads/brainchop/T1w.nii.gz",
    "raw_heads/niivue/T2w.nii.gz",
    "raw_heads/py_synthsr/FLAIR.nii.gz",
    "raw_heads/tcga_fg_6692/T1w.nii.gz",
    "cases/mslub_patient19/T1w.nii.gz",
)
NETWORKS = "rebuild"


def measure_here(scan: Path, threads: int) -> dict[str, float]:
    """Detect in one scan in this process; seconds of every stage, CPU seconds and peak GB."""
    start = time.perf_counter()
    from anatomaly.networks import keep_freed_memory
    from anatomaly.pipeline import Detector

    keep_freed_memory()
    detector = Detector(DetectConfig(threads=threads))
    loaded = time.perf_counter()
    detection = detector.detect(scan)
    found = {"load": loaded - start}
    for stage, seconds in detection.seconds.items():
        if stage == "prepare":
            steps = detection.run["preparation"]["steps"]
            found |= {step["name"]: step["seconds"] for step in steps}
        else:
            found[stage] = seconds
    found["total"] = time.perf_counter() - start
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    found["cpu"] = sum(u.ru_utime + u.ru_stime for u in (own, children))
    found["peak GB"] = own.ru_maxrss / 1e6
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    """Measure every scan and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        sys.stdout.write(json.dumps(measure_here(arguments.one, arguments.threads)))
        return
    columns: dict[str, dict[str, float]] = {}
    for name in SCANS:
        command = [sys.executable, __file__, "--threads", str(arguments.threads), "--one"]
        output = subprocess.run(
            [*command, str(data_folder() / name)], check=True, capture_output=True, text=True
        ).stdout
        columns[name.removesuffix(".nii.gz")] = json.loads(output.splitlines()[-1])
    stages = list(next(iter(columns.values())))
    lines = [
        "# Time and memory of `detect`",
        "",
        "Wall seconds per stage, one scan a process; `rebuild` is the networks, `load` the import",
        "of torch and the weights, `cpu` user and system seconds of all processes, `peak GB` the",
        "largest resident size.",
        "",
        "| stage | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for stage in stages:
        cells = (f"{column.get(stage, float('nan')):.1f}" for column in columns.values())
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    card = read_card(find_weights("default"))
    lines += ["", describe_run("python benchmarks/speed.py", None, card), ""]
    (RESULTS / "speed.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
