"""`anatomaly train finetune`: weights adapted to a sequence or scanner, the anatomy untouched."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.checkpoint import read_result
from anatomaly.training.cohort_run import CohortConfig, draw_pairs, gather_cohort
from anatomaly.training.export import export_weights
from anatomaly.training.recipe import FINETUNE_LINES, StagePlan
from anatomaly.training.run import Report, Say, ignore, open_run, train_stages
from anatomaly.weights import HEALTHY_FILE, SCORER_FILE, find_weights, load_model
from anatomaly.weights_card import WeightsCard


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(CohortConfig):
    """Settings of `train finetune`: those of `train cohort`, and `weights` to go on from."""

    weights: str
    lines: tuple[StagePlan, ...] = field(default=FINETUNE_LINES, repr=False)


def finetune(config: FinetuneConfig, say: Say = ignore, report: Report = ignore) -> Path:
    """Train modality extractor and combiner on the people of a cohort; write new weights.

    The tissue shares of the weights stay: the frozen networks were trained with them.

    Returns:
        Folder of the new weights, below that of the run.

    Raises:
        TrainingError: as in `train_cohort`.
        WeightsError: the weights cannot be used.
    """
    fabric, say, report = open_run(config, say, report)
    model, card = load_model(config.weights)
    with fabric.rank_zero_first():
        data = gather_cohort(config, fabric, say)
    train_stages(model.train(), config, lambda plan: draw_pairs(config, data, plan), say, report)
    folder = config.output / f"{card.name}-finetuned"
    if fabric.is_global_zero:
        _write(model, card, folder, config)
    fabric.barrier()
    return folder


def _write(
    model: PseudoHealthyModel, card: WeightsCard, folder: Path, config: FinetuneConfig
) -> None:
    """Write the weights, with what belongs to those that they went on from."""
    folder.mkdir(parents=True, exist_ok=True)
    source = find_weights(config.weights)
    for name in (HEALTHY_FILE, SCORER_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    (plan,) = config.lines
    steps = int(read_result(config.output / plan.name)[1]["step"])
    entries = asdict(card)
    for name in ("name", "date", "sha256", "preparation", "thresholds"):
        del entries[name]
    entries["steps"] = card.steps | {plan.name: steps}
    entries["training_data"] = [*card.training_data, f"finetuned on {config.bids.name}"]
    entries["limits"] = [
        *card.limits,
        f"thresholds and healthy residuals are those of {card.name}: `anatomaly train calibrate`",
    ]
    export_weights(model, folder, card.thresholds, **entries)
