"""Where the time of a training goes: drawing, stepping, waiting; and pairs a second.

    python benchmarks/training_time.py --cache runs/first/cache --before ../older/src

`--before` names the sources of another version, measured in turns with this one. Writes
benchmarks/results/training_time.md. Each measurement is a process of its own; the times of one
call compare, those of two calls on a busy machine do not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from environment import ROOT, describe_run, write_page
from torch.utils.data import DataLoader

from anatomaly.evaluation.result_page import commit_of
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.model.unet import lay_channels_last
from anatomaly.networks import keep_freed_memory
from anatomaly.training.cohort import load_cohort
from anatomaly.training.losses import weighted_sum
from anatomaly.training.restoration import RestorationStage
from anatomaly.training.stages import AnatomyStage
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesion_shapes import load_shapes

SEED = 8
PATCH = "patch 80³"
SAMPLES = {PATCH: ((80, 80, 80), 24), "whole brain": ((160, 192, 160), 4)}


def measure_here(cache: Path, device: str, count: int) -> dict[str, float]:
    """CPU seconds to draw a pair and wall seconds of drawing, stepping and waiting for a step."""
    torch.set_num_threads(1)
    keep_freed_memory()
    people = [p for name in ("labels", "train") for p in load_cohort(cache / name)]
    shapes = load_shapes(cache, cache)
    seconds: dict[str, float] = {}
    where: Any = {} if device == "cpu" else {"device": device}
    for name, (patch, samples) in SAMPLES.items():
        pairs = PairGenerator(people, shapes, GeneratorConfig(patch=patch, seed=SEED), **where)
        pairs[0]
        begun, cpu = time.perf_counter(), time.process_time()
        drawn = max(1, samples * count // 24)
        for index in range(1, 1 + drawn):
            pairs[index]
        seconds[f"{name}: draw"] = (time.perf_counter() - begun) / drawn
        seconds[f"{name}: draw CPU"] = (time.process_time() - cpu) / drawn
        if name == PATCH:
            seconds |= _steps(pairs, device, max(2, count // 4))
    return seconds


def _steps(pairs: PairGenerator, device: str, count: int) -> dict[str, float]:
    """Wall seconds of a step of extractor and restoration, and of waiting for their pairs."""
    model = PseudoHealthyModel()
    lay_channels_last(model)
    stages: dict[str, Any] = {
        "extractor": AnatomyStage(model),
        "restoration": RestorationStage(model),
    }
    seconds: dict[str, float] = {}
    for name, stage in stages.items():
        stage.to(device)
        workers = 1 if device == "cpu" else 0
        loader = iter(DataLoader(pairs, batch_size=1, num_workers=workers))
        waited = stepped = cpu = 0.0
        for number in range(count + 1):
            begun = time.perf_counter()
            batch: Any = {k: v.to(device) for k, v in next(loader).items()}
            ready, busy = time.perf_counter(), time.process_time()
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                loss = weighted_sum(stage.step(batch, number), {})
            torch.autograd.backward(loss)
            float(loss.detach())
            if number:  # the first step plans the convolutions and waits for the first pair
                waited, stepped = waited + ready - begun, stepped + time.perf_counter() - ready
                cpu += time.process_time() - busy
        for what, total in (("wait", waited), ("step", stepped), ("step CPU", cpu)):
            seconds[f"{PATCH}: {what}, {name}"] = total / count
    return seconds


def measure(sources: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Measure one version in a process of its own."""
    command = [sys.executable, __file__, "--here", "--cache", str(arguments.cache)]
    command += ["--device", arguments.device, "--count", str(arguments.count)]
    environment = os.environ | {"PYTHONPATH": str(sources)}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds: dict[str, float] = json.loads(output.stdout.splitlines()[-1])
    return seconds


def main() -> None:
    """Measure in turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="of a run: people and shapes")
    parser.add_argument("--before", type=Path, help="src/ of an older version")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--count", type=int, default=24, help="pairs of patches")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each version")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure_here(arguments.cache, arguments.device, arguments.count)))
        return
    versions = {"now": ROOT / "src"}
    if arguments.before:
        versions = {"before": arguments.before} | versions
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in versions}
    for _ in range(arguments.rounds):
        for name, sources in versions.items():
            rounds[name].append(measure(sources, arguments))
    rows = {
        name: {what: median(seconds[what] for seconds in measured) for what in measured[0]}
        for name, measured in rounds.items()
    }
    write_table(rows, versions, arguments)


def shares_of(row: dict[str, float], stage: str) -> dict[str, str]:
    """Shares of drawing and waiting in a stage, and its pairs a second, as words."""
    names = ("wait, ", "step, ", "step CPU, ")
    wait, step, cpu = (row[f"{PATCH}: {name}{stage}"] for name in names)
    draw = row[f"{PATCH}: draw CPU"]
    return {
        "share of drawing": f"{draw / (draw + cpu):.0%}",
        "share of waiting": f"{wait / (wait + step):.0%}",
        "pairs a second": f"{1 / (wait + step):.2f}",
        "pairs a CPU second": f"{1 / (draw + cpu):.2f}",
    }


def write_table(
    rows: dict[str, dict[str, float]], versions: dict[str, Path], arguments: argparse.Namespace
) -> None:
    """Write benchmarks/results/training_time.md."""
    from anatomaly.evaluation.result_page import markdown_table

    heads = [f"{name} ({commit_of(path)})" for name, path in versions.items()]
    table = [[what, *(f"{row[what]:.3f}" for row in rows.values())] for what in rows["now"]]
    for stage in ("extractor", "restoration"):
        shares = [shares_of(row, stage) for row in rows.values()]
        table += [[f"{stage}: {what}", *(row[what] for row in shares)] for what in shares[0]]
    command = f"python benchmarks/training_time.py --device {arguments.device}"
    counts = f"--count {arguments.count} --rounds {arguments.rounds}"
    lines = [
        "# Where the time of a training goes",
        "",
        f"Seconds on `{arguments.device}`, one thread, median of {arguments.rounds} turns; `wait`",
        "with one process that draws beside the steps. `CPU` does not count what other programs of",
        "a busy machine take: compare those. Share of drawing: CPU of drawing in that of both.",
        "",
        *markdown_table(("seconds", *heads), table),
        "",
        describe_run(f"{command} {counts}", SEED),
    ]
    write_page("training_time", lines)


if __name__ == "__main__":
    main()
