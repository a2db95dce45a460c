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
from anatomaly.model.lesion_scorer import LesionScorer
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.checkpoint import LAST_FILE, read_checkpoint
from anatomaly.training.evidence_ring import EvidenceRing, RingPatches
from anatomaly.training.export import assemble, export_weights
from anatomaly.training.loop import LoopConfig, train_stage
from anatomaly.training.pace import Budget, Clock
from anatomaly.training.producers import Production, running_producers
from anatomaly.training.recipe import NETWORK_LINES, StagePlan
from anatomaly.training.run import (
    Report,
    Say,
    open_run,
    plan_run,
    report_nothing,
    say_nothing,
    starting_model,
    train_stages,
)
from anatomaly.training.scorer import ScorerStage, write_scorer
from anatomaly.training.synthetic import SyntheticConfig, prepare_draws, where_drawn
from anatomaly.types import SEQUENCES
from anatomaly.weights import find_weights, load_model, load_scorer
from anatomaly.weights_card import CARD_FILE, WeightsCard, read_card, update_card

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
    say: Say = say_nothing,
    report: Report = report_nothing,
    clock: Clock = time.monotonic,
) -> Path:
    """Train networks and scorer and write weights; goes on with the stage it was killed in.

    Args:
        config: data, lengths, speed.
        say: receives one line for each event.
        report: receives stage name and progress every ten steps.
        clock: of the budget.

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
        if plan.name in {line.name for line in NETWORK_LINES}:
            told = replace(config, only=(plan.name,), loop=course.loop_of(plan))
            train_stages(model, where_drawn(told), draw, say, report)
    if fabric.is_global_zero:
        _export_networks(config)
    fabric.barrier()
    scorer_plans = [plan for plan in course.plans if plan.name in {p.name for p in SCORER_LINES}]
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
        by_clock = self.config.minutes > 0
        self.plans = [
            plan
            for plan in plan_run(self.config)
            if (plan.share if by_clock else plan.steps) > 0
            and (not self.config.only or plan.name in self.config.only)
        ]

    def loop_of(self, plan: StagePlan) -> LoopConfig:
        """Return length and rate of a stage that is about to begin."""
        loop = replace(
            self.config.loop,
            steps=plan.steps,
            learning_rate=plan.learning_rate,
            weights=plan.weights,
        )
        if self.config.minutes <= 0:
            return loop
        after = self.plans[self.plans.index(plan) :]
        left = {p.name: p.share * (1 - self._done(p)) for p in after}
        if left[plan.name] == 0:  # it has ended: the loop only loads it
            return replace(loop, seconds=1.0)
        seconds = self.fabric.broadcast(self.budget.seconds_for(plan.name, left))
        return replace(loop, seconds=seconds)

    def _done(self, plan: StagePlan) -> float:
        """Share of a stage that an earlier call did."""
        folder = self.config.output / plan.name
        if not (folder / LAST_FILE).is_file():
            return 0.0
        return float(read_checkpoint(folder)[1].get("share", 0.0))


def _export_networks(config: CompleteConfig) -> None:
    """Write networks and card, unless they are there from before a kill."""
    model, steps = assemble(config.output, config.start_from, config.edges)
    there = (config.export / CARD_FILE).is_file()
    if there and read_card(config.export).steps.items() >= steps.items():
        return
    card: dict[str, Any] = {
        "steps": steps,
        "methods": {name: REFINED.to_json() for name in SEQUENCES},
        "limits": [UNCALIBRATED.format("not measured")],
        "training_data": [
            f"{what}: {folder.name}"
            for what, folder in (
                ("label maps", config.label_maps),
                ("healthy scans", config.cohort),
                ("lesion shapes", config.lesions),
            )
            if folder
        ],
    }
    thresholds: dict[str, float] = {name: NO_THRESHOLD for name in SEQUENCES}
    if config.start_from:
        before = read_card(find_weights(config.start_from))
        thresholds = before.thresholds
        card["licence"], card["training_data"] = (
            before.licence,
            [*before.training_data, *card["training_data"]],
        )
        card["limits"] = [*before.limits, UNCALIBRATED.format(f"those of {before.name}")]
    export_weights(model, config.export, thresholds, **card)


def _train_scorer(course: _Course, plans: list[StagePlan]) -> None:
    """Train the scorer on fresh evidence and write it beside the networks."""
    config, fabric = course.config, course.fabric
    model, card = load_model(str(config.export))
    scorer = _starting_scorer(config)
    folder = config.output / f"ring-{card.sha256[:8]}"
    if fabric.is_global_zero:
        EvidenceRing.create(folder, config.brains)
    fabric.barrier()
    ring = EvidenceRing(folder)
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
    if not fabric.is_global_zero:
        fabric.barrier()
        _scorer_stages(course, plans, scorer, model, ring, lambda: None)
        return
    with running_producers(production, config.brains) as producers:
        course.say(f"{config.producers} processes draw evidence")
        producers.wait_for(ring, min(config.fewest, config.brains))
        fabric.barrier()
        _scorer_stages(course, plans, scorer, model, ring, producers.check)
        course.say(f"{ring.next_brain()} brains drawn")
    steps = {p.name: int(read_checkpoint(config.output / p.name)[1]["step"]) for p in plans}
    write_scorer(config.export, scorer, steps.get("scorer", 0))
    update_card(config.export, {"steps": read_card(config.export).steps | steps})


def _starting_scorer(config: CompleteConfig) -> LesionScorer:
    """Return the scorer of the weights that the run starts from, or an untrained one."""
    if config.start_from:
        card: WeightsCard = read_card(find_weights(config.start_from))
        if card.scorer_sha256:
            return load_scorer(card, config.start_from).train()
    return LesionScorer()


def even_batch(wanted: int, processes: int) -> int:
    """Round a batch up so that all processes have as much.

    >>> even_batch(2, 4), even_batch(4, 4), even_batch(5, 2)
    (4, 4, 6)
    """
    return -(-wanted // processes) * processes


def _scorer_stages(
    course: _Course,
    plans: list[StagePlan],
    scorer: LesionScorer,
    model: PseudoHealthyModel,
    ring: EvidenceRing,
    check: Callable[[], None],
) -> None:
    """Train the scorer on patches, then on whole brains."""
    config, ranks = course.config, course.fabric.world_size
    for plan in plans:
        whole = plan.name == "whole"
        patch = config.whole if whole else config.scorer_patch
        batch = even_batch(1 if whole else config.scorer_batch, ranks)
        loop = replace(course.loop_of(plan), batch=batch)
        length = f"{loop.seconds:.0f} s" if loop.seconds else f"{loop.steps} steps"
        course.say(f"{plan.name}: {length}")

        def tell(progress: Any, name: str = plan.name) -> None:
            check()
            course.report(name, progress)

        patches = RingPatches(ring, patch, plan.seed + 1000 * config.seed)
        stage = ScorerStage(scorer, model.context)
        train_stage(stage, patches, config.output / plan.name, loop, tell)
