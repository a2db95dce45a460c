"""What three parts are for that only a training can take away: corruption, consistency, one-hot.

    ANATOMALY_DATA=/path/to/data python benchmarks/ablations.py --run runs/first [--only corruption]

Each ablation trains a stage of the recipe twice, with the part and without it: same start, samples,
seed and steps. Both are then measured on the same whole brains, drawn from held-out people (one
each) with held-out lesion shapes. `--run` names a folder whose `cache/` is used; checkpoints go to
`--checkpoints`, and the same command goes on from them. Writes ablations.json and ablations.md into
`--output`; with `--only` (may be repeated) the others keep their figures. Ablations that need no
training stand in validation.md.

The trainings are short: they show a direction, no final figure.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from ablation_figures import (
    Drawn,
    Figures,
    drawn_pairs,
    measure_consistency,
    measure_corruption,
    measure_one_hot,
)
from environment import RESULTS, ROOT, data_folder, describe_run
from torch import nn

from anatomaly.evaluation.comparison import paired_difference
from anatomaly.model.anatomy_extractor import AnatomyExtractor
from anatomaly.model.anatomy_restorer import AnatomyRestorer
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.networks import keep_freed_memory, limit_threads
from anatomaly.report.manifest import write_whole
from anatomaly.training.cohort import load_cohort
from anatomaly.training.loop import LoopConfig
from anatomaly.training.recipe import StagePlan
from anatomaly.training.run import RunConfig, StageData, train_stages
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesion_shapes import load_shapes
from anatomaly.training.synthetic import LABEL_MAP_REPEATS
from anatomaly.training.validation import VALIDATION_SEED
from anatomaly.weights import load_model
from anatomaly.weights_card import WeightsCard

COMMAND = "python benchmarks/ablations.py"
PATCH = (64, 64, 64)


class Ablation(NamedTuple):
    """One part that is taken away.

    Attributes:
        about: what is taken away, in a sentence.
        stage: of the recipe that is trained.
        recipe: what the recipe says without the part.
        steps: of each of the two trainings.
        start: what both start from, in words.
        fresh: part of the model that starts from nothing, and its class; None: all is shipped.
        measure: figures of one drawn pair; the last argument tells whether the part is there.
        good: for each figure `higher` or `lower`.
    """

    about: str
    stage: str
    recipe: str
    steps: int
    start: str
    fresh: tuple[str, type[nn.Module]] | None
    measure: Callable[[PseudoHealthyModel, Drawn, bool], Figures]
    good: dict[str, str]


SHIPPED = "the shipped weights"
CORRUPTION = Ablation(
    about="The restorer learns from whole edges of healthy brains: no lesion, no edge dropped.",
    stage="edges",
    recipe="[edges]\ncorrupt = false\n",
    steps=1600,
    start=SHIPPED,
    fresh=None,
    measure=measure_corruption,
    good={
        "healthy tissue inside lesions": "higher",
        "the same, lesions shown whole": "higher",
        "healthy tissue outside lesions": "higher",
        "AP of the residual, edge route": "higher",
    },
)
ABLATIONS: dict[str, Ablation] = {
    "corruption": CORRUPTION,
    "corruption-from-nothing": CORRUPTION._replace(
        steps=400,
        start=f"nothing (restorer), {SHIPPED} (all else)",
        fresh=("anatomy_restorer", AnatomyRestorer),
    ),
    "consistency": Ablation(
        about="The extractor's answers to two scans of one brain are not compared in training.",
        stage="anatomy",
        recipe="[anatomy.weights]\nconsistency = 0\n",
        steps=400,
        start=f"nothing (extractor), {SHIPPED} (all else)",
        fresh=("anatomy_extractor", AnatomyExtractor),
        measure=measure_consistency,
        good={
            "Dice between the two sequences": "higher",
            "Dice with the truth": "higher",
            "agreement inside lesions": "higher",
        },
    ),
    "one-hot": Ablation(
        about="The encoder reads the extractor's tissue shares, in training and in use.",
        stage="disentangle",
        recipe="[disentangle]\none_hot = false\n",
        steps=200,
        start=SHIPPED,
        fresh=None,
        measure=measure_one_hot,
        good={
            "share of lesions copied": "lower",
            "share of noise and bias copied": "lower",
            "code that differs between sequences": "lower",
            "AP of the residual, tissue route": "higher",
        },
    ),
}


def train(ablation: Ablation, recipe: str, folder: Path, cache_folder: Path) -> PseudoHealthyModel:
    """Train one of the two; what it was told before stays done."""
    torch.manual_seed(0)
    model = load_model("default")[0].train()
    if ablation.fresh is not None:
        name, make = ablation.fresh
        setattr(model, name, make())
    people = LABEL_MAP_REPEATS * load_cohort(cache_folder / "labels")
    people += load_cohort(cache_folder / "train")
    shapes = load_shapes(data_folder() / "lesion_masks_mni", cache_folder)

    def draw(plan: StagePlan) -> StageData:
        config = GeneratorConfig(patch=PATCH, seed=plan.seed, images=plan.images)
        return StageData(PairGenerator(people, shapes, config))

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    config = RunConfig(
        output=folder,
        start_from="default",
        recipe=folder / "recipe.toml",
        steps={ablation.stage: ablation.steps},
        only=(ablation.stage,),
        loop=LoopConfig(steps=0, workers=0),
        patch=PATCH,
    )
    train_stages(model, config, draw, print)
    return model.eval()


def measure(
    models: dict[str, PseudoHealthyModel], ablation: Ablation, cache_folder: Path, count: int
) -> dict[str, dict[str, list[float]]]:
    """Figures of each drawn brain: by model, `with` and `without`, then by figure."""
    found: dict[str, dict[str, list[float]]] = {n: defaultdict(list) for n in models}
    for drawn in drawn_pairs(cache_folder, count):
        for name, model in models.items():
            for figure, value in ablation.measure(model, drawn, name == "with").items():
                found[name][figure].append(value)
        print(drawn.sequences, {n: f"{v[-1]:.3f}" for n, v in found["without"].items()}, flush=True)
    return found


def main() -> None:
    """Train, measure, and write the table; each ablation is kept as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "runs")
    parser.add_argument("--checkpoints", type=Path, default=ROOT / "runs" / "ablations")
    parser.add_argument("--only", action="append", choices=list(ABLATIONS))
    parser.add_argument("--count", type=int, default=12, help="drawn brains, at most 20")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    keep_freed_memory()
    record, cache_folder = arguments.output / "ablations.json", arguments.run / "cache"
    known = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    card = load_model("default")[1]
    for name in arguments.only or ABLATIONS:
        ablation = ABLATIONS[name]
        models = {
            side: train(ablation, recipe, arguments.checkpoints / name / side, cache_folder)
            for side, recipe in (("with", ""), ("without", ablation.recipe))
        }
        with limit_threads(1):
            known[name] = measure(models, ablation, cache_folder, arguments.count)
        write_whole(record, json.dumps(known, indent=1) + "\n")
        write_whole(arguments.output / "ablations.md", describe_all(known, card))


def describe_all(known: dict[str, Any], card: WeightsCard) -> str:
    """Return the page of all ablations that have figures."""
    lines = [
        "# Ablations that need a training",
        "",
        "Each stage was trained twice, with the part and without it: same start, samples, seed",
        f"and number of steps (patches of {PATCH[0]}³, one pair a step). **The trainings are",
        "short: they show a direction, no final figure.** Measured on whole brains of held-out",
        "people, one each, with held-out lesion shapes, in two sequences. The difference is with",
        "− without, in brackets its 95 % bootstrap interval over these brains. It holds for these",
        "two trainings: what another seed of training changes is not in it. Arrows say which way",
        f"is good. Shipped weights: {card.name}, SHA-256 {card.sha256[:16]}…. What the figures",
        "are: [how to train](../../docs/how-to/training.md). Ablations that need no training:",
        "[validation](validation.md).",
        "",
    ]
    for name, ablation in ABLATIONS.items():
        if name in known:
            lines += describe(name, ablation, known[name])
    return "\n".join([*lines, describe_run(COMMAND, VALIDATION_SEED, card), ""])


def describe(name: str, ablation: Ablation, found: dict[str, dict[str, list[float]]]) -> list[str]:
    """Return the lines of one ablation."""
    count = len(next(iter(found["with"].values())))
    people = [str(n) for n in range(count)]
    lines = [
        f"## Without {name.replace('-from-', ', from ')}",
        "",
        ablation.about,
        f"Stage `{ablation.stage}`, {ablation.steps} steps from {ablation.start}; {count} brains.",
        "",
        "| figure | with | without | difference |",
        "|---|---:|---:|---:|",
    ]
    for figure, good in ablation.good.items():
        both = found["with"][figure], found["without"][figure]
        first, second = (sum(values) / count for values in both)
        change = paired_difference(*both, people, seed=VALIDATION_SEED)
        arrow = "↑" if good == "higher" else "↓"
        lines.append(
            f"| {figure} {arrow} | {first:.3f} | {second:.3f} "
            f"| {change.mean:+.3f} ({change.low:+.3f} to {change.high:+.3f}) |"
        )
    return [*lines, ""]


if __name__ == "__main__":
    main()
