"""From checkpoints to weights that ship: fp16 safetensors and a card that says what they are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anatomaly.errors import TrainingError
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.recipe import NETWORK_STAGES
from anatomaly.training.run import load_stage, starting_model
from anatomaly.types import TrainedEdges
from anatomaly.weights import TENSOR_FILE, preparation_hash, write_tensors
from anatomaly.weights_card import CARD_FILE, read_card, update_card, write_card
from anatomaly.whole_file import whole_file


def join_stages(
    output: Path, start_from: str | None = None, edges: TrainedEdges = "oriented"
) -> tuple[PseudoHealthyModel, dict[str, int]]:
    """Join the checkpoints of a run, later stages over earlier ones.

    Args:
        output: folder of the run.
        start_from: weights that stages without a checkpoint keep: those the run went on from.
        edges: kind that the run restored from, or `both`.

    Returns:
        The model and the steps of each stage that has a checkpoint.

    Raises:
        TrainingError: no stage of this run has a checkpoint, or none trained both restorers.
        WeightsError: start_from cannot be used.
    """
    share = output / "cache" / "tissue_share.npy"
    if not share.is_file():
        raise TrainingError(f"{share} is missing: train first")
    model, steps = starting_model(start_from, edges), dict[str, int]()
    model.context.tissue_share.copy_(torch.from_numpy(np.load(share))[None])
    for plan in NETWORK_STAGES:
        if (output / plan.name / "checkpoint.safetensors").is_file():
            steps[plan.name] = load_stage(model, output, plan.name)
    if not steps:
        raise TrainingError(f"{output}: no checkpoint found")
    if edges == "both" and "routes" not in steps:
        raise TrainingError(f"{output}: no stage `routes`, which alone trains both restorers")
    return model.eval(), steps


def export_weights(
    model: PseudoHealthyModel, folder: Path, thresholds: Mapping[str, float] | None, **card: Any
) -> Path:
    """Write `model.safetensors` (fp16) and `card.json` into `folder`.

    Weights of the same networks and preparation that lie there keep what else their card says:
    scorer, methods, calibration. Of others nothing is kept.

    Args:
        model: trained.
        folder: its name becomes the name of the weights.
        thresholds: default threshold for T1w, T2w and FLAIR; None keeps those of the card.
        card: further entries of `weights_card.WeightsCard`.

    Returns:
        folder.

    Raises:
        TrainingError: there are no thresholds.
        WeightsError: a card that lies there is damaged.
    """
    before = read_card(folder) if (folder / CARD_FILE).is_file() else None
    preparation = preparation_hash()
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / TENSOR_FILE) as temporary:
        digest = write_tensors(temporary, model.state_dict())
        unchanged = before and (before.sha256, before.preparation) == (digest, preparation)
        if thresholds is None and not unchanged:
            raise TrainingError(f"{folder}: new networks have no thresholds; give --threshold")
    content = {
        "name": folder.name,
        "date": time.strftime("%Y-%m-%d"),
        "sha256": digest,
        "preparation": preparation,
        **card,
    }
    if thresholds is not None:
        content["thresholds"] = {k: round(float(v), 4) for k, v in thresholds.items()}
    if before and unchanged:
        update_card(folder, content | {"steps": {**before.steps, **card.get("steps", {})}})
    else:
        write_card(folder, content)
    return folder
