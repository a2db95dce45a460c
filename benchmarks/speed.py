"""Time and memory of `anatomaly detect`, from the command to the finished page.

    ANATOMALY_DATA=/path/to/data python benchmarks/speed.py [--threads 2]

Each scan twice, each time in a fresh process: once the command itself, as a user types it, and once
in Python with a clock at every stage. What the stages leave of the command is its start: imports of
the command line, checks before the work, the end of the process. Writes
benchmarks/results/speed.md. Machines are noisy: trust the shares, not the seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from environment import RESULTS, data_folder, describe_run

from anatomaly.config import OUTPUTS, DetectConfig
from anatomaly.weights import find_weights
from anatomaly.weights_card import read_card

SCANS = (
    "raw_heads/brainchop/T1w.nii.gz",
    "raw_heads/niivue/T2w.nii.gz",
    "raw_heads/py_synthsr/FLAIR.nii.gz",
    "raw_heads/tcga_fg_6692/T1w.nii.gz",
    "raw_heads/tcga_fg_6692/T2w.nii.gz",
    "raw_heads/tcga_fg_6692/FLAIR.nii.gz",
)
VOLUMES = set(OUTPUTS) - {"overview", "report"}
WRITTEN = {"volumes and tables": VOLUMES, "overview": {"overview"}, "page": {"report"}}


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
    with tempfile.TemporaryDirectory() as folder:
        for name, outputs in WRITTEN.items():
            before = time.perf_counter()
            detection.save(Path(folder) / name, outputs)
            found[name] = time.perf_counter() - before
    found["total"] = time.perf_counter() - start
    return {name: round(value, 2) for name, value in found.items()}


def measure_command(scan: Path, threads: int) -> dict[str, float]:
    """Run `anatomaly detect`; seconds until it ends, CPU seconds, largest resident GB."""
    program = "from anatomaly.cli.main import main; main()"
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", program, "detect", str(scan), "-o", folder, "--quiet"]
        process = subprocess.Popen([*command, "--threads", str(threads)])
        _, status, usage = os.wait4(process.pid, 0)  # with its own children
    if status != 0:
        raise SystemExit(f"{scan}: anatomaly detect failed")
    return {
        "command": round(time.perf_counter() - start, 1),
        "cpu": round(usage.ru_utime + usage.ru_stime, 1),
        "peak GB": round(usage.ru_maxrss / 1e6, 2),
    }


def measure_stages(scan: Path, threads: int) -> dict[str, float]:
    """Run `measure_here` in a fresh process."""
    command = [sys.executable, __file__, "--threads", str(threads), "--one", str(scan)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(said.splitlines()[-1]))


MEASURES = (measure_command, measure_stages)


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
        scan = data_folder() / name
        command, stages = (measure(scan, arguments.threads) for measure in MEASURES)
        stages["start and end"] = max(0.0, command["command"] - stages.pop("total"))
        columns[name.removeprefix("raw_heads/").removesuffix(".nii.gz")] = stages | command
    names = list(next(iter(columns.values())))
    total = sum(column["command"] for column in columns.values())
    lines = [
        "# Time and memory of `anatomaly detect`",
        "",
        "Wall seconds from the command to its end (`command`), and of every stage; `rebuild`: the",
        "networks, `load` the import of torch and the weights; in the background of the first",
        "stages the template is prepared. `cpu`: user and system seconds of all processes;",
        "`peak GB`: largest resident size; *share*: of the command, all scans together.",
        "",
        "| stage | " + " | ".join(columns) + " | share |",
        "|---|" + "---:|" * (len(columns) + 1),
    ]
    for name in names:
        cells = [f"{column.get(name, float('nan')):.1f}" for column in columns.values()]
        share = sum(column.get(name, 0.0) for column in columns.values()) / total
        cells.append("" if name in ("cpu", "peak GB") else f"{share:.0%}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    median = statistics.median(column["command"] for column in columns.values())
    lines += ["", f"Median of the commands: {median:.1f} s."]
    card = read_card(find_weights("default"))
    lines += ["", describe_run("python benchmarks/speed.py", None, card), ""]
    (RESULTS / "speed.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
