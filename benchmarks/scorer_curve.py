"""What more training of the scorer buys: validation AP of its checkpoints against their steps.

    ANATOMALY_DATA=/path/to/data python benchmarks/scorer_curve.py --run runs/first \
        7040=default 9040=runs/first/scorer/checkpoint.safetensors

Every checkpoint (`STEPS=FILE`, or the name of weights; steps of all its rounds together) scores the
drawn scans of `validation.py`, which are rebuilt once. Zero steps, the fixed residual that a new
scorer starts as, are always there. Writes scorer_curve.json, .md and .png into `--output`; what the
first holds of other sequences (`--sequence`) and other checkpoints of the same scans stays.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from environment import RESULTS, ROOT, describe_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from validation import CANDIDATES, drawn_scans

from anatomaly.evaluation.metrics import average_precision, bootstrap_interval
from anatomaly.model.lesion_scorer import LesionScorer
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.model.unet import lay_channels_last
from anatomaly.networks import keep_freed_memory, limit_threads
from anatomaly.score import lesion_logit
from anatomaly.training.checkpoint import read_checkpoint
from anatomaly.training.validation import (
    VALIDATION_SEED,
    ValidationScan,
    rebuild_scan,
    score_scan,
)
from anatomaly.types import SEQUENCES
from anatomaly.weights import load_model, load_scorer
from anatomaly.weights_card import WeightsCard

COMMAND = "python benchmarks/scorer_curve.py"


class Found(TypedDict):
    """Kind of lesion of every scan of a sequence, and its AP by steps (a word for JSON)."""

    kinds: list[str]
    precision: dict[str, list[float]]


Curve = dict[str, Found]
"""By sequence."""


def load_scorers(told: list[str]) -> dict[int, LesionScorer]:
    """Return the scorer of every `STEPS=FILE`, and one that is not trained."""
    torch.manual_seed(VALIDATION_SEED)
    scorers = {0: LesionScorer()}
    for word in told:
        steps, _, file = word.partition("=")
        path = Path(file)
        if path.suffix == ".safetensors":
            scorers[int(steps)] = LesionScorer()
            scorers[int(steps)].load_state_dict(read_checkpoint(path.parent, path.name)[0])
        else:
            scorers[int(steps)] = load_scorer(load_model(file)[1], file)
    for scorer in scorers.values():
        lay_channels_last(scorer)
        scorer.eval()
    return scorers


def measure(
    model: PseudoHealthyModel,
    scorers: dict[int, LesionScorer],
    scans: Iterable[ValidationScan],
) -> Found:
    """Average precision of every scorer on every drawn scan, each of which is rebuilt once."""
    route, reuse, config, slope = CANDIDATES["refined"]
    found = Found(kinds=[], precision=defaultdict(list))
    for scan in scans:
        found["kinds"].append(scan.kind)
        rebuilt = rebuild_scan(model, scan, [(route, reuse)])[0]
        for steps, scorer in scorers.items():
            logit = lesion_logit(scorer, model.context, rebuilt, scan.sequence)
            score = score_scan(scan, rebuilt, config, None, lambda *_, x=logit: x, slope)
            value = average_precision(score, scan.lesion, scan.brain_mask)
            found["precision"][str(steps)].append(value)
        last = {steps: round(values[-1], 3) for steps, values in found["precision"].items()}
        print(scan.sequence, scan.kind, last, flush=True)
    return found


def main() -> None:
    """Measure, and write the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="*", metavar="STEPS=FILE")
    parser.add_argument("--run", type=Path, default=ROOT / "runs")
    parser.add_argument("--count", type=int, default=21, help="drawn lesions a sequence")
    parser.add_argument("--sequence", nargs="*", default=list(SEQUENCES))
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    keep_freed_memory()
    scorers = load_scorers(arguments.checkpoints)
    record = arguments.output / "scorer_curve.json"
    curve: Curve = json.loads(record.read_text()) if record.is_file() else {}
    if any(len(found["kinds"]) != arguments.count for found in curve.values()):
        raise SystemExit(f"{record}: measured on another number of scans; remove it")
    model, card = load_model("default")
    for sequence in arguments.sequence:
        scans = drawn_scans(arguments.run / "cache", sequence, {"lesion": arguments.count})
        with limit_threads(1):
            found = measure(model.eval(), scorers, scans["lesion"])
        kept = curve[sequence]["precision"] if sequence in curve else {}
        curve[sequence] = Found(kinds=found["kinds"], precision=kept | found["precision"])
        record.write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
    curve = {name: curve[name] for name in SEQUENCES if name in curve}
    text = as_markdown(curve, card)
    (arguments.output / "scorer_curve.md").write_text(text, encoding="utf-8")
    draw(curve, arguments.output / "scorer_curve.png")


def as_markdown(curve: Curve, card: WeightsCard) -> str:
    """Return the tables: a row for each checkpoint."""
    kinds = [kind for found in curve.values() for kind in found["kinds"]]
    count = len(kinds) // len(curve)
    lines = [
        "# What more training of the scorer buys",
        "",
        f"Mean AP of the refined score on {count} drawn scans a sequence, those of",
        f"[validation](validation.md), balanced over {len(set(kinds))} kinds of lesion (`hole`: a",
        "tumour filled with fluid), for checkpoints of the scorer; in brackets the 95 % bootstrap",
        "interval over scans. 0 steps: the residual of both routes, as which it starts. The",
        f"networks below it are always those of {card.name}, SHA-256 {card.sha256[:16]}….",
        "",
        "| steps | " + " | ".join(curve) + " | mean |",
        "|---:|" + "---:|" * (len(curve) + 1),
    ]
    every = _steps(curve)
    for steps in every:
        values = [found["precision"][steps] for found in curve.values()]
        means = [f"{np.mean(v):.3f} ({_interval(v)})" for v in values]
        lines.append(f"| {steps} | " + " | ".join(means) + f" | {np.mean(values):.3f} |")
    lines += ["", "![AP against steps](scorer_curve.png)", "", "By kind of lesion:", ""]
    names = list(dict.fromkeys(kinds))
    lines += ["| sequence | steps | " + " | ".join(names) + " |"]
    lines += ["|---|---:|" + "---:|" * len(names)]
    for sequence, found in curve.items():
        for steps in every:
            of_kind = {name: _of_kind(found, steps, name) for name in names}
            cells = [f"{np.mean(values):.3f}" for values in of_kind.values()]
            lines.append(f"| {sequence} | {steps} | " + " | ".join(cells) + " |")
    told = f"{COMMAND} --run RUN --count {count} STEPS=CHECKPOINT …"
    return "\n".join([*lines, "", describe_run(told, VALIDATION_SEED), ""])


def _steps(curve: Curve) -> list[str]:
    """Return those with which every sequence was scored."""
    return sorted(set.intersection(*(set(f["precision"]) for f in curve.values())), key=int)


def _of_kind(found: Found, steps: str, kind: str) -> list[float]:
    pairs = zip(found["kinds"], found["precision"][steps], strict=True)
    return [value for of, value in pairs if of == kind]


def _interval(values: list[float]) -> str:
    low, high = bootstrap_interval(values, seed=VALIDATION_SEED)
    return f"{low:.3f} to {high:.3f}"


def draw(curve: Curve, path: Path) -> None:
    """Draw AP against steps, a line for each sequence."""
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = _steps(curve)
    for sequence, found in curve.items():
        means = [np.mean(found["precision"][s]) for s in steps]
        axes.plot([int(s) for s in steps], means, "o-", label=sequence)
    axes.set(xlabel="steps of the scorer", ylabel="AP on validation", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
