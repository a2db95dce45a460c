"""What more training of the scorer buys: validation AP of its checkpoints against their steps.

    ANATOMALY_DATA=/path/to/data python benchmarks/scorer_curve.py --run runs/first \
        7040=synthetic-4 9040=runs/first/scorer/checkpoint.safetensors

Every checkpoint (`STEPS=FILE`, or the name of weights; steps of all its rounds together) scores the
drawn scans of `validation.py`, which are rebuilt once, and `--holes` scans a sequence with a tumour
that is a hole filled with fluid. Zero steps, the fixed residual that a new scorer starts as, are
always there. Writes scorer_curve.json, .md and .png into `--output`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from environment import RESULTS, ROOT, describe_run
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from validation import CANDIDATES, drawn_scans

from anatomaly.engine import keep_freed_memory, lesion_logit, limit_threads
from anatomaly.evaluation.metrics import average_precision, bootstrap_interval
from anatomaly.model.lesion_scorer import LesionScorer
from anatomaly.model.unet import lay_channels_last
from anatomaly.training.checkpoint import read_checkpoint
from anatomaly.training.cohort import load_cohort
from anatomaly.training.validation import (
    VALIDATION_SEED,
    ValidationScan,
    draw_validation,
    rebuild_scan,
    score_scan,
)
from anatomaly.types import SEQUENCES, Sequence
from anatomaly.weights import WeightsCard, load_model, load_scorer

COMMAND = "python benchmarks/scorer_curve.py"
HOLES_SEED = 990_202
Curve = dict[str, dict[str, list[float]]]
"""By sequence, then by steps (a word, as JSON wants it): AP of every scan."""


def load_scorers(told: list[str]) -> dict[int, LesionScorer]:
    """Return the scorer of every `STEPS=FILE`, and one that is not trained."""
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


def draw_holes(cache: Path, sequence: Sequence, count: int) -> Iterator[ValidationScan]:
    """Draw tumours that are holes filled with fluid, in the people of validation."""
    people = load_cohort(cache / "validation")
    return draw_validation(people, [], sequence, count, seed=HOLES_SEED, kinds=("hole",))


def measure(
    scorers: dict[int, LesionScorer], scans: Callable[[Sequence], Iterator[ValidationScan]]
) -> Curve:
    """Average precision of every scorer on every drawn scan with a lesion."""
    model = load_model("default")[0].eval()
    route, reuse, config, slope = CANDIDATES["refined"]
    curve: Curve = {}
    for sequence in SEQUENCES:
        found: dict[str, list[float]] = defaultdict(list)
        for scan in scans(sequence):
            rebuilt = rebuild_scan(model, scan, [(route, reuse)])[0]
            for steps, scorer in scorers.items():
                logit = lesion_logit(scorer, model.context, rebuilt, sequence)
                score = score_scan(scan, rebuilt, config, None, lambda *_, x=logit: x, slope)
                found[str(steps)].append(average_precision(score, scan.lesion, scan.brain_mask))
            print(sequence, scan.kind, {n: round(v[-1], 3) for n, v in found.items()}, flush=True)
        curve[sequence] = found
    return curve


def main() -> None:
    """Measure, and write the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", nargs="+", metavar="STEPS=FILE")
    parser.add_argument("--run", type=Path, default=ROOT / "runs")
    parser.add_argument("--count", type=int, default=12, help="drawn lesions a sequence")
    parser.add_argument("--holes", type=int, default=5, help="drawn holes a sequence")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    keep_freed_memory()
    scorers = load_scorers(arguments.checkpoints)
    cache = arguments.run / "cache"
    with limit_threads(1):
        count = {"lesion": arguments.count}
        curve = measure(scorers, lambda sequence: drawn_scans(cache, sequence, count)["lesion"])
        holes = measure(scorers, lambda sequence: draw_holes(cache, sequence, arguments.holes))
    record = arguments.output / "scorer_curve.json"
    found = {"balanced": curve, "holes": holes}
    record.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = as_markdown(curve, holes, load_model("default")[1])
    (arguments.output / "scorer_curve.md").write_text(text, encoding="utf-8")
    draw(curve, arguments.output / "scorer_curve.png")


def as_markdown(curve: Curve, holes: Curve, card: WeightsCard) -> str:
    """Return the tables: a row for each checkpoint."""
    count, more = (len(next(iter(next(iter(c.values())).values()))) for c in (curve, holes))
    lines = [
        "# What more training of the scorer buys",
        "",
        f"Mean AP of the refined score on {count} drawn scans a sequence (the lesions of",
        "[validation](validation.md)), in brackets the 95 % bootstrap interval over scans, for",
        "checkpoints of the scorer. 0 steps: the residual of both routes, as which it starts. The",
        f"networks below it are always those of {card.name}, SHA-256 {card.sha256[:16]}….",
        "",
        *_table(curve),
        "",
        "![AP against steps](scorer_curve.png)",
        "",
        f"The same on {more} scans a sequence with a tumour that is a hole filled with fluid:",
        "",
        *_table(holes),
        "",
    ]
    told = f"{COMMAND} --run RUN --count {count} --holes {more} STEPS=CHECKPOINT …"
    return "\n".join([*lines, describe_run(told, VALIDATION_SEED), ""])


def _table(curve: Curve) -> list[str]:
    lines = ["| steps | " + " | ".join(curve) + " | mean |", "|---:|" + "---:|" * (len(curve) + 1)]
    for steps in sorted({s for found in curve.values() for s in found}, key=int):
        values = [found[steps] for found in curve.values()]
        means = [f"{np.mean(v):.3f} ({_interval(v)})" for v in values]
        lines.append(f"| {steps} | " + " | ".join(means) + f" | {np.mean(values):.3f} |")
    return lines


def _interval(values: list[float]) -> str:
    low, high = bootstrap_interval(values, seed=VALIDATION_SEED)
    return f"{low:.3f} to {high:.3f}"


def draw(curve: Curve, path: Path) -> None:
    """Draw AP against steps, a line for each sequence."""
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for sequence, found in curve.items():
        steps = sorted(found, key=int)
        axes.plot([int(s) for s in steps], [np.mean(found[s]) for s in steps], "o-", label=sequence)
    axes.set(xlabel="steps of the scorer", ylabel="AP on validation", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
