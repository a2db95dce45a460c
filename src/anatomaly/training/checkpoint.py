"""Checkpoints without pickles: tensors in safetensors, the rest in JSON, renamed into place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from anatomaly.errors import TrainingError
from anatomaly.whole_file import whole_file

LAST_FILE, BEST_FILE = "checkpoint.safetensors", "best.safetensors"


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer | None,
    state: dict[str, Any],
    name: str = LAST_FILE,
) -> None:
    """Write weights, optimiser moments (unless None) and `state` (JSON) into one file.

    One file renamed into place: a kill leaves the old checkpoint or the new one, never half.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    if optimiser is not None:
        for key, parameter in model.named_parameters():
            for slot, value in optimiser.state.get(parameter, {}).items():
                tensors[f"optimiser.{slot}.{key}"] = value
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / name) as temporary:
        save_file(tensors, temporary, metadata={"state": json.dumps(state)})


def read_checkpoint(
    folder: Path, name: str = LAST_FILE
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights and the state of a checkpoint.

    Raises:
        TrainingError: there is none, or it is damaged.
    """
    tensors, state = _read(folder / name)
    return _model_tensors(tensors), state


def read_result(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights that a stage ended with: the best if it was validated, else the last.

    Raises:
        TrainingError: there are none, or they are damaged.
    """
    tensors, state = read_checkpoint(folder)
    return read_checkpoint(folder, BEST_FILE) if "best_step" in state else (tensors, state)


def _model_tensors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            state: dict[str, Any] = json.loads(file.metadata()["state"])
        return load_file(path), state
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise TrainingError(f"{path}: not a checkpoint of this program: {error}") from error


def load_checkpoint(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore weights and optimiser in place and return the saved state.

    Raises:
        TrainingError: the file is damaged or belongs to another model.
    """
    tensors, state = _read(folder / LAST_FILE)
    try:
        model.load_state_dict(_model_tensors(tensors))
    except RuntimeError as error:
        raise TrainingError(f"{folder}: checkpoint of another model: {error}") from error
    for name, parameter in model.named_parameters():
        for slot in ("step", "exp_avg", "exp_avg_sq"):
            value = tensors.get(f"optimiser.{slot}.{name}")
            if value is not None and slot != "step":
                layout = torch.channels_last_3d if value.ndim == 5 else torch.contiguous_format
                value = value.to(parameter.device).contiguous(memory_format=layout)
            if value is not None:
                optimiser.state[parameter][slot] = value
    return state
