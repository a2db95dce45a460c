"""`anatomaly train synthetic`: from label maps, healthy scans and lesion shapes to weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from anatomaly.errors import TrainingError
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.cohort import Subject, load_cohort, prepare_label_maps, prepare_scans
from anatomaly.training.loop import LoopConfig
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
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesion_shapes import load_shapes

LABEL_MAP_REPEATS = 3
"""Label maps are few, sharp and at 1 mm: each is drawn three times as often as a scan."""


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig(RunConfig):
    """Settings of `train synthetic`.

    Attributes:
        label_maps: folder of whole-head label maps (FreeSurfer numbers), or None.
        cohort: folder of healthy `*_T1w.nii.gz` with `*_dlmuse.nii.gz` (MUSE numbers), or None.
        lesions: folder with lesion shapes in `stroke/` and `ms/`.
        inside: as of `GeneratorConfig`.
    """

    label_maps: Path | None
    cohort: Path | None
    lesions: Path
    inside: bool = False


def train_synthetic(config: SyntheticConfig, say: Say = ignore, report: Report = ignore) -> None:
    """Prepare the data once, then train every stage of the recipe.

    Raises:
        TrainingError: no data, an unknown stage, or a checkpoint that cannot be used.
    """
    fabric, say, report = open_run(config, say, report)
    model = starting_model(config.start_from, config.edges).train()
    with fabric.rank_zero_first():
        draw = prepare_draws(config, model, fabric.device, say)
    train_stages(model, replace(config, loop=drawing_loop(config.loop)), draw, say, report)


def drawing_device(device: torch.device | str) -> str:
    """Return where samples for a device are drawn: on CUDA there, for all others on the CPU.

    >>> drawing_device("cuda:1"), drawing_device("mps")
    ('cuda:1', 'cpu')
    """
    return str(device) if torch.device(device).type == "cuda" else "cpu"


def drawing_loop(loop: LoopConfig) -> LoopConfig:
    """Return the configuration without worker processes if samples are drawn on the device.

    There a worker would need a copy of all that is on the device, and would not be faster.
    """
    return loop if drawing_device(loop.device) == "cpu" else replace(loop, workers=0)


def prepare_draws(
    config: SyntheticConfig, model: PseudoHealthyModel, device: torch.device, say: Say
) -> Callable[[StagePlan], StageData]:
    """Prepare people and shapes, tell the model where tissue lies, and return what stages draw.

    Raises:
        TrainingError: nothing is there to train on.
    """
    subjects = prepare_subjects(config, say)
    shapes = load_shapes(config.lesions, config.output / "cache")
    model.context.tissue_share.copy_(tissue_share(subjects, config.output / "cache"))
    say(f"{len(subjects)} anatomies, {len(shapes)} lesion shapes")

    def draw(plan: StagePlan) -> StageData:
        seed = plan.seed + 1000 * config.seed
        settings = GeneratorConfig(
            patch=config.patch, seed=seed, images=plan.images, inside=config.inside
        )
        return StageData(PairGenerator(subjects, shapes, settings, device=drawing_device(device)))

    return draw


def prepare_subjects(config: SyntheticConfig, say: Say) -> list[Subject]:
    """Cache what is not cached yet and return all anatomies, label maps repeated.

    Raises:
        TrainingError: nothing is there to train on.
    """
    cache, subjects = config.output / "cache", list[Subject]()
    if config.label_maps:
        say_news(prepare_label_maps(_files(config.label_maps, "*.nii.gz"), cache / "labels"), say)
        subjects += LABEL_MAP_REPEATS * load_cohort(cache / "labels")
    if config.cohort:
        prepare_cohort(config.cohort, cache / "train", say)
        subjects += load_cohort(cache / "train")
    if not subjects:
        raise TrainingError("nothing to train on: give --label-maps, --cohort or both")
    return subjects


def prepare_cohort(folder: Path, cache: Path, say: Say) -> None:
    """Cache healthy `*_T1w.nii.gz` with their `*_dlmuse.nii.gz`, where they are not cached yet.

    Raises:
        TrainingError: the folder holds none.
    """
    scans = _files(folder, "*_T1w.nii.gz")
    pairs = [(s, s.with_name(s.name.replace("_T1w", "_dlmuse"))) for s in scans]
    say_news(prepare_scans([p for p in pairs if p[1].is_file()], cache), say)


def _files(folder: Path, pattern: str) -> list[Path]:
    files = sorted(folder.glob(pattern))
    if not files:
        raise TrainingError(f"{folder}: no {pattern}")
    return files
