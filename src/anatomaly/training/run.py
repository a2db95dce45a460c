"""A run: a folder with one folder for each stage; every stage goes on from its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_SHAPE, mirror
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.model.template_context import PRIOR_STEP
from anatomaly.training.checkpoint import read_result
from anatomaly.training.cohort import Subject
from anatomaly.training.fabric import open_fabric
from anatomaly.training.loop import LoopConfig, Progress, train_stage
from anatomaly.training.recipe import LINES, NETWORK_STAGES, StagePlan, read_recipe
from anatomaly.training.synthesis.label_maps import TISSUE_OF_CLASS
from anatomaly.types import EDGE_KINDS, TrainedEdges
from anatomaly.weights import load_model

if TYPE_CHECKING:
    from lightning.fabric import Fabric

SMALLEST_PATCH = 48
"""Below this the deepest grid is 2 voxels wide, and there oneDNN's bfloat16 gradients are wrong."""


@dataclass(frozen=True)
class RunConfig:
    """Settings of every training, whatever its data.

    Attributes:
        output: folder of the run: cache, checkpoints, loss curves.
        start_from: weights that every stage without a checkpoint starts from: a bundled name or
            a folder; None starts from nothing.
        recipe: file laid over the packaged recipe, or None.
        steps: stage name to length, instead of the recipe's.
        only: stages to train; empty for all.
        loop: speed; steps, learning rate and weights of losses come from the recipe.
        patch: side lengths of a sample.
        edges: kind that anatomy is restored from; `both` for the stage `routes`, which trains a
            restorer for each.
        seed: another one draws other samples: for a run that goes on from weights.
        lines: stages that there are, without their numbers.
    """

    output: Path
    start_from: str | None = None
    recipe: Path | None = None
    steps: dict[str, int] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=0))
    patch: tuple[int, int, int] = (80, 80, 80)
    edges: TrainedEdges = "oriented"
    seed: int = 0
    lines: tuple[StagePlan, ...] = LINES

    def loop_of(self, plan: StagePlan) -> LoopConfig:
        """Return how a stage is trained."""
        return replace(
            self.loop, steps=plan.steps, learning_rate=plan.learning_rate, weights=plan.weights
        )


Say = Callable[[str], None]
"""Receives one line for each person, stage or other event."""
Report = Callable[[str, Progress], None]
"""Receives stage name and progress every ten steps."""


def ignore(*_: object) -> None:
    """Take what is said or reported and drop it."""


def say_news(lines: Iterable[str], say: Say) -> None:
    """Pass on what a preparation says of each person, unless all was there before.

    >>> say_news(["IXI1: cached", "IXI2: prepared"], print)
    IXI2: prepared
    """
    for line in lines:
        if not line.endswith(": cached"):
            say(line)


def open_run(config: RunConfig, say: Say, report: Report) -> tuple[Fabric, Say, Report]:
    """Start all processes of a run; those beyond the first keep silent.

    Data are gathered inside `fabric.rank_zero_first()`: the first process prepares, the others
    find all cached.

    Raises:
        TrainingError: as in `plan_run` and `open_fabric`.
    """
    plan_run(config)
    loop = config.loop
    fabric = open_fabric(loop.device, loop.precision, loop.devices, loop.nodes, loop.processes)
    return (fabric, say, report) if fabric.is_global_zero else (fabric, ignore, ignore)


@dataclass(frozen=True)
class StageData:
    """What a stage is trained on, and what it is validated on (None: it is not)."""

    pairs: Dataset[Any]
    held_out: Dataset[Any] | None = None


def plan_run(config: RunConfig) -> tuple[StagePlan, ...]:
    """Return all stages with the lengths of this run, and refuse what cannot be trained.

    Raises:
        TrainingError: an unknown stage, a recipe or a patch that cannot be used.
    """
    plans = read_recipe(config.recipe, config.lines)
    known = [plan.name for plan in plans]
    if unknown := (set(config.only) | set(config.steps)) - set(known):
        raise TrainingError(f"unknown stages {sorted(unknown)}; the recipe has {known}")
    sides = zip(config.patch, TEMPLATE_SHAPE, strict=True)
    if any(n % 16 or not SMALLEST_PATCH <= n <= most for n, most in sides):
        raise TrainingError(
            f"patch {config.patch}: sides must be multiples of 16, {SMALLEST_PATCH} or more and at "
            f"most {TEMPLATE_SHAPE}"
        )
    if config.edges == "both" and "routes" not in known:
        raise TrainingError(
            "edges both: only the stage `routes` trains two restorers; give --minutes or --export, "
            "or choose oriented or canny"
        )
    return tuple(replace(p, steps=config.steps.get(p.name, p.steps)) for p in plans)


def train_stages(
    model: PseudoHealthyModel,
    config: RunConfig,
    data_of: Callable[[StagePlan], StageData],
    say: Say = ignore,
    report: Report = ignore,
) -> None:
    """Train every stage of the recipe, each after those that it goes on from.

    Args:
        model: receives the weights.
        config: of the run.
        data_of: what a stage is trained on.
        say: as of `Say`.
        report: as of `Report`.

    Raises:
        TrainingError: as in `plan_run`, or a checkpoint cannot be used.
    """
    plans = plan_run(config)
    for plan in plans:
        if plan.steps == 0 or (config.only and plan.name not in config.only):
            continue
        for earlier in _earlier(plan, plans, config):
            load_stage(model, config.output, earlier)
        loop = config.loop_of(plan)
        say(f"{plan.name}: {loop.length()}")
        data, tell = data_of(plan), partial(report, plan.name)
        folder = config.output / plan.name
        train_stage(plan.make(model), data.pairs, folder, loop, tell, data.held_out)


def _earlier(plan: StagePlan, plans: tuple[StagePlan, ...], config: RunConfig) -> list[str]:
    """Stages to load before this one: without weights to start from, none may be missing."""
    left_out = {p.name for p in plans if p.steps == 0}
    optional = left_out | ({p.name for p in plans} if config.start_from else set())
    return [n for n in plan.after if n not in optional or (config.output / n).is_dir()]


def starting_model(start_from: str | None, edges: TrainedEdges = "oriented") -> PseudoHealthyModel:
    """Return the model that a run goes on from: of weights, or untrained for None.

    Args:
        start_from: name or folder.
        edges: kind that its restorer reads, or `both`, the first of `EDGE_KINDS` in use. A restorer
            that the weights lack is untrained; one of another kind is left out.

    Raises:
        WeightsError: the weights cannot be used.
    """
    kinds = EDGE_KINDS if edges == "both" else (edges,)
    model = load_model(start_from)[0] if start_from else PseudoHealthyModel(kinds)
    for kind in reversed(kinds):
        model.use_edges(kind)
    for kind in set(EDGE_KINDS) - set(kinds):
        if kind in model.anatomy_restorers:
            del model.anatomy_restorers[kind]
    return model


def tissue_share(subjects: list[Subject], cache: Path) -> torch.Tensor:
    """Share of CSF, grey and white matter at each place, (1, 3, 40, 48, 40), left-right even."""
    path = cache / "tissue_share.npy"
    if not path.is_file():
        total = torch.zeros(3, *(n // PRIOR_STEP for n in TEMPLATE_SHAPE))
        for subject in subjects:
            tissue = torch.from_numpy(TISSUE_OF_CLASS[np.asarray(subject.labels)])
            for index in (1, 2, 3):
                mask = (tissue == index).float()[None, None]
                mask = mask + mirror(mask)
                total[index - 1] += torch.nn.functional.avg_pool3d(mask, PRIOR_STEP)[0, 0]
        np.save(path, (total / 2 / len(subjects)).numpy())
    return torch.from_numpy(np.load(path))[None]


def load_stage(model: PseudoHealthyModel, output: Path, name: str) -> int:
    """Put the weights of a trained stage into the model; returns its number of steps.

    Raises:
        TrainingError: the stage has no checkpoint, or one of another model.
    """
    plan = next(p for p in NETWORK_STAGES if p.name == name)
    tensors, state = read_result(output / name)
    try:
        plan.make(model).trained.load_state_dict(tensors)
    except RuntimeError as error:
        raise TrainingError(f"{output / name}: checkpoint of another model: {error}") from error
    return int(state["step"])
