"""`anatomaly train synthetic --minutes`: from healthy people to exported weights in one command.

Extractor, then all that restores (both routes at once), then the scorer on evidence that other
processes draw with the new networks while it learns: first patches, around lesions in half of the
cases, then whole brains. Each stage takes its share of the time that is left; a stage that ended
is not begun again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.method import REFINED
from anatomaly.training.checkpoint import LAST_FILE, read_checkpoint
from anatomaly.training.evidence_ring import EvidenceRing, RingPatches
from anatomaly.training.export import export_weights, join_stages
from anatomaly.training.loop import Progress, train_stage
from anatomaly.training.pace import Budget, Clock
from anatomaly.training.producers import Production, running_producers
from anatomaly.training.recipe import NETWORK_LINES, StagePlan
from anatomaly.training.run import (
    Report,
    Say,
    ignore,
    open_run,
    plan_run,
    starting_model,
    train_stages,
)
from anatomaly.training.scorer import ScorerStage, starting_scorer, write_scorer
from anatomaly.training.synthetic import SyntheticConfig, drawing_loop, prepare_draws
from anatomaly.types import SEQUENCES
from anatomaly.weights import find_weights, load_model
from anatomaly.weights_card import CARD_FILE, read_card

if TYPE_CHECKING:
    from lightning.fabric import Fabric

SCORER_LINES: tuple[StagePlan, ...] = (
    StagePlan("scorer", ScorerStage, after=()),
    StagePlan("whole", ScorerStage, after=("scorer",)),
)
COMPLETE_LINES = (*NETWORK_LINES, *SCORER_LINES)

NO_THRESHOLD = 0.5
"""Of a refined score, a probability, where there are no weights to take one from."""

UNCALIBRATED = "thresholds are {}: not calibrated; run `anatomaly train calibrate`"


@dataclass(frozen=True, kw_only=True)
class CompleteConfig(SyntheticConfig):
    """What `train synthetic --minutes` or `--export` is told.

    Attributes:
        export: folder of the weights; its name is their name.
        minutes: that all may take, preparation and export included; 0 for the steps of the recipe.
        producers: processes that draw evidence while the scorer learns.
        brains: newest brains at hand, 25 MB each on disk.
        fewest: brains that must be there before the scorer begins.
        scorer_patch: side lengths of its patches.
        scorer_batch: patches a step, over all processes; at least one for each.
        whole: side lengths of the samples of the last stage.
    """

    export: Path
    minutes: float = 0.0
    producers: int = 1
    brains: int = 32
    fewest: int = 8
    scorer_patch: tuple[int, int, int] = (96, 96, 96)
    scorer_batch: int = 2
    whole: tuple[int, int, int] = TEMPLATE_SHAPE
    inside: bool = True
    lines: tuple[StagePlan, ...] = field(default=COMPLETE_LINES, repr=False)


def train_complete(
    config: CompleteConfig,
    say: Say = ignore,
    report: Report = ignore,
    clock: Clock = time.monotonic,
) -> Path:
    """Train networks and scorer and write weights; goes on with the stage it was killed in.

    Returns:
        Folder of the weights.

    Raises:
        TrainingError: as in `train_synthetic`, or the time is too short to train anything.
        WeightsError: the weights to start from cannot be used.
    """
    budget = Budget(60 * config.minutes, clock)
    fabric, say, report = open_run(config, say, report)
    model = starting_model(config.start_from, config.edges).train()
    with fabric.rank_zero_first():
        draw = prepare_draws(config, model, fabric.device, say)
    course = _Course(config, budget, fabric, say, report)
    for plan in course.plans:
        if plan.build is not ScorerStage:
            loop = drawing_loop(replace(config.loop, seconds=course.seconds_of(plan)))
            train_stages(model, replace(config, only=(plan.name,), loop=loop), draw, say, report)
    if fabric.is_global_zero:
        _export_networks(config)
    fabric.barrier()
    scorer_plans = [plan for plan in course.plans if plan.build is ScorerStage]
    if scorer_plans:
        _train_scorer(course, scorer_plans)
    fabric.barrier()
    return config.export


@dataclass
class _Course:
    """A run on its way: which stages are left and how long each may take."""

    config: CompleteConfig
    budget: Budget
    fabric: Fabric
    say: Say
    report: Report

    def __post_init__(self) -> None:
        """Choose the stages: by the clock those with a share, else those with steps."""
        by_clock, only = self.config.minutes > 0, self.config.only
        self.plans = [
            plan
            for plan in plan_run(self.config)
            if (plan.share if by_clock else plan.steps) > 0 and (not only or plan.name in only)
        ]

    def seconds_of(self, plan: StagePlan) -> float:
        """Return the time of a stage that is about to begin; 0 if steps count."""
        if self.config.minutes <= 0:
            return 0.0
        after = self.plans[self.plans.index(plan) :]
        left = {p.name: p.share * (1 - self._done(p)) for p in after}
        if left[plan.name] == 0:  # it has ended: the loop only loads it
            return 1.0
        return self.fabric.broadcast(self.budget.seconds_for(plan.name, left))

    def _done(self, plan: StagePlan) -> float:
        """Share of a stage that an earlier call did."""
        folder = self.config.output / plan.name
        if not (folder / LAST_FILE).is_file():
            return 0.0
        return float(read_checkpoint(folder)[1].get("share", 0.0))


def _export_networks(config: CompleteConfig) -> None:
    """Write networks and card, unless they are there from before a kill."""
    model, steps = join_stages(config.output, config.start_from, config.edges)
    there = (config.export / CARD_FILE).is_file()
    if there and read_card(config.export).steps.items() >= steps.items():
        return
    thresholds: dict[str, float] = dict.fromkeys(SEQUENCES, NO_THRESHOLD)
    learnt_from = {
        "label maps": config.label_maps,
        "healthy scans": config.cohort,
        "lesion shapes": config.lesions,
    }
    names = [f"{what}: {folder.name}" for what, folder in learnt_from.items() if folder]
    card: dict[str, Any] = {
        "steps": steps,
        "methods": {name: REFINED.to_json() for name in SEQUENCES},
        "limits": [UNCALIBRATED.format("not measured")],
        "training_data": names,
    }
    if config.start_from:
        before = read_card(find_weights(config.start_from))
        thresholds = before.thresholds
        card["limits"] = [*before.limits, UNCALIBRATED.format(f"those of {before.name}")]
        card["training_data"] = [*before.training_data, *names]
        card["licence"] = before.licence
    export_weights(model, config.export, thresholds, **card)


def _train_scorer(course: _Course, plans: list[StagePlan]) -> None:
    """Train the scorer on fresh evidence and write it beside the networks."""
    config, fabric = course.config, course.fabric
    model, card = load_model(str(config.export))
    scorer = starting_scorer(config.start_from)
    stage = ScorerStage(scorer, model.context)
    folder = config.output / f"ring-{card.sha256[:8]}"
    if fabric.is_global_zero:
        EvidenceRing.create(folder, config.brains)
    fabric.barrier()
    ring = EvidenceRing(folder)
    if not fabric.is_global_zero:
        fabric.barrier()
        _scorer_stages(course, plans, stage, ring)
        return
    production = Production(
        weights=config.export.resolve(),
        cache=config.output / "cache",
        lesions=config.lesions,
        ring=folder,
        seed=config.seed,
        device=str(fabric.device),
        first=-(-ring.next_brain() // 2),
        of=config.producers,
    )
    with running_producers(production, config.brains) as producers:
        course.say(f"{config.producers} processes draw evidence")
        producers.wait_for(ring, min(config.fewest, config.brains))
        fabric.barrier()
        _scorer_stages(course, plans, stage, ring, producers.check)
        course.say(f"{ring.next_brain()} brains drawn")
    steps = {p.name: int(read_checkpoint(config.output / p.name)[1]["step"]) for p in plans}
    write_scorer(config.export, scorer, {"scorer": 0} | steps)


def even_batch(wanted: int, processes: int) -> int:
    """Round a batch up so that all processes have as much.

    >>> even_batch(2, 4), even_batch(4, 4), even_batch(5, 2)
    (4, 4, 6)
    """
    return -(-wanted // processes) * processes


def _scorer_stages(
    course: _Course,
    plans: list[StagePlan],
    stage: ScorerStage,
    ring: EvidenceRing,
    check: Callable[[], None] = ignore,
) -> None:
    """Train the scorer on patches, then on whole brains."""
    config, ranks = course.config, course.fabric.world_size
    for plan in plans:
        whole = plan.name == "whole"
        patch = config.whole if whole else config.scorer_patch
        batch = even_batch(1 if whole else config.scorer_batch, ranks)
        loop = replace(config.loop_of(plan), batch=batch, seconds=course.seconds_of(plan))
        course.say(f"{plan.name}: {loop.length()}")

        def tell(progress: Progress, name: str = plan.name) -> None:
            check()
            course.report(name, progress)

        patches = RingPatches(ring, patch, plan.seed + 1000 * config.seed)
        train_stage(stage, patches, config.output / plan.name, loop, tell)
