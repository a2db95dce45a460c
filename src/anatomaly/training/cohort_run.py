"""`anatomaly train cohort`: from a user's own healthy people to weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from anatomaly.errors import TrainingError
from anatomaly.training.cohort import Subject, load_cohort
from anatomaly.training.cohort_bids import find_visits
from anatomaly.training.cohort_people import HELD_OUT, TRAIN, prepare_people, split_visits
from anatomaly.training.recipe import StagePlan
from anatomaly.training.run import (
    Report,
    RunConfig,
    Say,
    StageData,
    ignore,
    open_run,
    say_news,
    starting_model,
    tissue_share,
    train_stages,
)
from anatomaly.training.synthesis.generator import GeneratorConfig, RealPairGenerator
from anatomaly.training.synthesis.lesion_shapes import LesionShape, load_shapes
from anatomaly.types import SEQUENCES, MrSequence

if TYPE_CHECKING:
    from lightning.fabric import Fabric

HELD_OUT_SEED = 970_001
"""Of the validation pairs: the same for every stage and every run."""


@dataclass(frozen=True, kw_only=True)
class CohortConfig(RunConfig):
    """What `train cohort` is told.

    Attributes:
        bids: folder of healthy people (`cohort_bids.find_visits`).
        lesions: folder with lesion shapes in `stroke/` and `ms/`; None draws tumours, bleedings,
            spots and periventricular lesions alone.
        sequences: those used, of each person as many as there are.
        held_out_share: of the people, for validation; 0 for none.
        held_out_pairs: pairs that a validation looks at.
    """

    bids: Path
    lesions: Path | None = None
    sequences: tuple[MrSequence, ...] = SEQUENCES
    held_out_share: float = 0.1
    held_out_pairs: int = 16


@dataclass(frozen=True)
class CohortData:
    """People of both sides, and the lesion shapes of both."""

    train: list[Subject]
    held_out: list[Subject]
    shapes: list[LesionShape]
    held_out_shapes: list[LesionShape]


def train_cohort(config: CohortConfig, say: Say = ignore, report: Report = ignore) -> None:
    """Prepare the people once, then train every stage of the recipe, validated on others.

    Raises:
        TrainingError: nobody can be used, another split than before, an unknown stage, or a
            checkpoint that cannot be used.
    """
    fabric, say, report = open_run(config, say, report)
    model = starting_model(config.start_from, config.edges).train()
    with fabric.rank_zero_first():
        data = gather_cohort(config, fabric, say)
        model.context.tissue_share.copy_(tissue_share(data.train, config.output / "cache"))
    train_stages(model, config, lambda plan: draw_pairs(config, data, plan), say, report)


def gather_cohort(config: CohortConfig, fabric: Fabric, say: Say) -> CohortData:
    """Prepare (the first process alone) and load the people of both sides.

    Raises:
        TrainingError: nobody is left to train on, or the run was split otherwise before.
    """
    cache = config.output / "cache"
    _keep_split(config, cache)
    visits = find_visits(config.bids, config.sequences)
    sides = dict(zip((TRAIN, HELD_OUT), split_visits(visits, config.held_out_share), strict=True))
    people: dict[str, list[Subject]] = {}
    for side, members in sides.items():
        if fabric.is_global_zero:
            say_news(prepare_people(members, cache / side), say)
        names = {visit.name for visit in members}
        there = load_cohort(cache / side) if any(cache.glob(f"{side}/*/labels.npy")) else []
        people[side] = [subject for subject in there if subject.name in names]
    if not people[TRAIN]:
        raise TrainingError(f"{config.bids}: nobody left to train on; the lines above say why")
    if config.held_out_share > 0 and not people[HELD_OUT]:
        say("nobody is held out: training goes on without validation")
    shapes: list[list[LesionShape]] = [[], []]
    if config.lesions is not None:
        shapes = [load_shapes(config.lesions, cache, held_out) for held_out in (False, True)]
    say(f"{len(people[TRAIN])} sessions, {len(people[HELD_OUT])} held out, {len(shapes[0])} shapes")
    return CohortData(people[TRAIN], people[HELD_OUT], *shapes)


def _keep_split(config: CohortConfig, cache: Path) -> None:
    """Refuse a run whose people were split otherwise: it would validate on those it learnt from."""
    path = cache / "split.json"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps({"held_out_share": config.held_out_share}), encoding="utf-8", newline="\n"
        )
    before = json.loads(path.read_text(encoding="utf-8"))["held_out_share"]
    if before != config.held_out_share:
        raise TrainingError(
            f"{config.output}: begun with {before} of the people held out, not "
            f"{config.held_out_share}: keep it, or take another output folder"
        )


def draw_pairs(config: CohortConfig, data: CohortData, plan: StagePlan) -> StageData:
    """Pairs that a stage is trained and validated on."""
    seed = plan.seed + 1000 * config.seed
    settings = GeneratorConfig(config.patch, seed, images=plan.images, real_share=1.0)
    pairs = RealPairGenerator(data.train, data.shapes, settings)
    if not data.held_out:
        return StageData(pairs)
    fixed, count = replace(settings, seed=HELD_OUT_SEED), config.held_out_pairs
    return StageData(pairs, RealPairGenerator(data.held_out, data.held_out_shapes, fixed, count))
