"""`anatomaly train synthetic`: from label maps, healthy scans and lesion shapes to weights.

The recipe is the list `STAGES`. Every stage keeps its checkpoint in a folder of its own and goes
on from it; a stage that is done is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.model.template_context import PRIOR_STEP
from anatomaly.training.checkpoint import read_checkpoint
from anatomaly.training.cohort import Subject, load_cohort, prepare_label_maps, prepare_scans
from anatomaly.training.loop import LoopConfig, Progress, train_stage
from anatomaly.training.stages import AnatomyStage, EdgeStage, RestorationStage, StraightStage
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.label_maps import TISSUE_OF_CLASS
from anatomaly.training.synthesis.lesion_shapes import load_shapes
from anatomaly.weights import load_model

Stage = AnatomyStage | RestorationStage | EdgeStage


@dataclass(frozen=True)
class StagePlan:
    """One line of the recipe.

    Attributes:
        name: of the stage and of its folder.
        make: builds the stage around the model.
        after: stages whose weights it starts from.
        steps: default length.
        learning_rate: peak.
        seed: of the samples.
        images: whether the stage looks at images, or at label maps alone.
    """

    name: str
    make: Callable[[PseudoHealthyModel], Stage]
    after: tuple[str, ...]
    steps: int
    learning_rate: float
    seed: int
    images: bool = True


def _joint(model: PseudoHealthyModel) -> Stage:
    return RestorationStage(model, extractor_share=0.85)


STAGES: tuple[StagePlan, ...] = (
    StagePlan("anatomy", AnatomyStage, (), 4000, 2.5e-3, 1),
    StagePlan("restoration", RestorationStage, (), 480, 1.5e-3, 2),
    StagePlan("edges", EdgeStage, ("restoration",), 6000, 1.5e-3, 4, images=False),
    StagePlan("straight", StraightStage, ("anatomy", "restoration", "edges"), 1500, 2e-3, 7),
    StagePlan("joint", _joint, ("anatomy", "restoration", "edges", "straight"), 1200, 6e-4, 3),
)
"""The recipe, in order: later stages go on from the weights of those they name. `anatomy` shares
nothing with `restoration` and `edges`: they may run side by side."""

SMALLEST_PATCH = 48
"""Below this the deepest grid is 2 voxels wide, and there oneDNN's bfloat16 gradients are wrong."""

LABEL_MAP_REPEATS = 3
"""Label maps are few, sharp and at 1 mm: each is drawn three times as often as a scan."""


@dataclass(frozen=True)
class SyntheticConfig:
    """What `train synthetic` is told.

    Attributes:
        output: folder of the run: cache, checkpoints, loss curves.
        label_maps: folder of whole-head label maps (FreeSurfer numbers), or None.
        cohort: folder of healthy `*_T1w.nii.gz` with `*_dlmuse.nii.gz` (MUSE numbers), or None.
        lesions: folder with lesion shapes in `stroke/` and `ms/`.
        start_from: weights that every stage without a checkpoint starts from: a bundled name or
            a folder; None starts from nothing.
        steps: stage name to length, instead of the recipe's.
        only: stages to train; empty for all.
        loop: speed; steps and learning rate come from the recipe.
        patch: side lengths of a sample.
        seed: another one draws other samples: for a run that goes on from weights.
    """

    output: Path
    label_maps: Path | None
    cohort: Path | None
    lesions: Path
    start_from: str | None = None
    steps: dict[str, int] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=0))
    patch: tuple[int, int, int] = (80, 80, 80)
    seed: int = 0


def train_synthetic(
    config: SyntheticConfig,
    say: Callable[[str], None] = lambda _: None,
    report: Callable[[str, Progress], None] = lambda _stage, _progress: None,
) -> None:
    """Prepare the data once, then train every stage of the recipe.

    Args:
        config: data, lengths, speed.
        say: receives one line for each event.
        report: receives stage name and progress every ten steps.

    Raises:
        TrainingError: no data, an unknown stage, or a checkpoint that cannot be used.
    """
    known = {plan.name for plan in STAGES}
    if unknown := (set(config.only) | set(config.steps)) - known:
        raise TrainingError(f"unknown stages {sorted(unknown)}; the recipe has {sorted(known)}")
    if any(n % 16 or n < SMALLEST_PATCH for n in config.patch):
        raise TrainingError(
            f"patch {config.patch}: sides must be multiples of 16, {SMALLEST_PATCH} or more"
        )
    subjects = prepare_subjects(config, say)
    shapes = load_shapes(config.lesions, config.output / "cache")
    model = starting_model(config.start_from).train()
    model.context.tissue_share.copy_(tissue_share(subjects, config.output / "cache"))
    for plan in STAGES:
        if config.only and plan.name not in config.only:
            continue
        for earlier in plan.after:
            if not config.start_from or (config.output / earlier).is_dir():
                load_stage(model, config.output, earlier)
        steps = config.steps.get(plan.name, plan.steps)
        say(f"{plan.name}: {steps} steps, {len(subjects)} anatomies, {len(shapes)} lesion shapes")
        generator = PairGenerator(
            subjects,
            shapes,
            GeneratorConfig(
                patch=config.patch, seed=plan.seed + 1000 * config.seed, images=plan.images
            ),
        )
        loop = replace(config.loop, steps=steps, learning_rate=plan.learning_rate)
        train_stage(
            plan.make(model),
            generator,
            config.output / plan.name,
            loop,
            lambda progress, name=plan.name: report(name, progress),  # type: ignore[misc]
        )


def starting_model(start_from: str | None) -> PseudoHealthyModel:
    """Return the model that a run goes on from: of weights, or untrained for None.

    Raises:
        WeightsError: the weights cannot be used.
    """
    return load_model(start_from)[0] if start_from else PseudoHealthyModel()


def prepare_subjects(config: SyntheticConfig, say: Callable[[str], None]) -> list[Subject]:
    """Cache what is not cached yet and return all anatomies, label maps repeated.

    Raises:
        TrainingError: nothing is there to train on.
    """
    cache, subjects = config.output / "cache", list[Subject]()
    if config.label_maps:
        _say_all(prepare_label_maps(_files(config.label_maps, "*.nii.gz"), cache / "labels"), say)
        subjects += LABEL_MAP_REPEATS * load_cohort(cache / "labels")
    if config.cohort:
        prepare_cohort(config.cohort, cache / "train", say)
        subjects += load_cohort(cache / "train")
    if not subjects:
        raise TrainingError("nothing to train on: give --label-maps, --cohort or both")
    return subjects


def prepare_cohort(folder: Path, cache: Path, say: Callable[[str], None]) -> None:
    """Cache healthy `*_T1w.nii.gz` with their `*_dlmuse.nii.gz`, where they are not cached yet.

    Raises:
        TrainingError: the folder holds none.
    """
    scans = _files(folder, "*_T1w.nii.gz")
    pairs = [(s, s.with_name(s.name.replace("_T1w", "_dlmuse"))) for s in scans]
    _say_all(prepare_scans([p for p in pairs if p[1].is_file()], cache), say)


def _files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise TrainingError(f"{folder}: no {pattern}")
    return found


def _say_all(lines: Iterable[str], say: Callable[[str], None]) -> None:
    for line in lines:
        if not line.endswith(": cached"):
            say(line)


def tissue_share(subjects: list[Subject], cache: Path) -> torch.Tensor:
    """Share of CSF, grey and white matter at each place, (1, 3, 40, 48, 40), left-right even."""
    path = cache / "tissue_share.npy"
    if not path.is_file():
        total = torch.zeros(3, *(n // PRIOR_STEP for n in TEMPLATE_SHAPE))
        for subject in subjects:
            tissue = torch.from_numpy(TISSUE_OF_CLASS[np.asarray(subject.labels)])
            for index in (1, 2, 3):
                mask = (tissue == index).float()[None, None]
                total[index - 1] += torch.nn.functional.avg_pool3d(mask, PRIOR_STEP)[0, 0]
        np.save(path, ((total + total.flip(1)) / 2 / len(subjects)).numpy())
    return torch.from_numpy(np.load(path))[None]


def load_stage(model: PseudoHealthyModel, output: Path, name: str) -> int:
    """Put the weights of a trained stage into the model; returns its number of steps.

    Raises:
        TrainingError: the stage has no checkpoint, or one of another model.
    """
    plan = next(p for p in STAGES if p.name == name)
    tensors, state = read_checkpoint(output / name)
    try:
        plan.make(model).trained.load_state_dict(tensors)
    except RuntimeError as error:
        raise TrainingError(f"{output / name}: checkpoint of another model: {error}") from error
    return int(state["step"])
