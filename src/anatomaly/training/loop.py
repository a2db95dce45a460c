"""The training loop: draws, steps, logs, checkpoints; resumes exactly where it was killed."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from anatomaly.engine import keep_freed_memory
from anatomaly.errors import TrainingError
from anatomaly.model.unet import lay_channels_last
from anatomaly.training.checkpoint import load_checkpoint, save_checkpoint


class Stage(Protocol):
    """What the loop trains."""

    @property
    def trained(self) -> nn.Module:
        """Its parameters change, nothing else."""

    def step(self, batch: Any, step: int = 0) -> dict[str, Tensor]:
        """Losses of one batch, unweighted; their weighted sum is what falls."""

    def to(self, device: str, /) -> Any:
        """Move all that `step` uses."""


@dataclass(frozen=True)
class LoopConfig:
    """How a stage is trained.

    Attributes:
        steps: total number of optimiser steps, those before a resumption included.
        batch: pairs a step.
        learning_rate: peak; linear warm-up over 100 steps, cosine to a twentieth at the end.
        workers: processes that draw samples.
        threads: CPU threads of the networks.
        checkpoint_seconds: time between checkpoints.
        precision: `bf16` or `fp32`.
        device: torch device.
        weights: of the losses in their sum, by name; 1 for those not named.
    """

    steps: int
    batch: int = 1
    learning_rate: float = 1e-3
    workers: int = 1
    threads: int = 1
    checkpoint_seconds: float = 60.0
    precision: str = "bf16"
    device: str = "cpu"
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """One logged step."""

    step: int
    losses: dict[str, float]
    seconds: float


def rate_at(step: int, config: LoopConfig) -> float:
    """Learning rate of a step: warm-up, then cosine decay to 5 %."""
    warm = min(1.0, (step + 1) / 100)
    cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * min(1.0, step / config.steps))).item())
    return config.learning_rate * warm * (0.05 + 0.95 * cosine)


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Σ weight · loss, the weight of a loss that is not named being 1.

    >>> weighted_sum({"a": torch.tensor(2.0), "b": torch.tensor(3.0)}, {"b": 0.5})
    tensor(3.5000)
    """
    return torch.stack([weights.get(k, 1.0) * v.float() for k, v in losses.items()]).sum()


def single_thread(_: int) -> None:
    """Keep a process that draws samples to one thread."""
    torch.set_num_threads(1)


def train_stage(
    stage: Stage,
    data: Dataset[Any],
    folder: Path,
    config: LoopConfig,
    report: Callable[[Progress], None] = lambda _: None,
) -> None:
    """Train one stage, from the last checkpoint in `folder` where there is one.

    Writes `checkpoint.safetensors` and appends to `loss.csv` in `folder`.

    Args:
        stage: what is trained; only `stage.trained` changes.
        data: sample i must depend on i alone, so that a resumed run sees the same samples.
        folder: of this stage.
        config: length and speed.
        report: called every ten steps with mean losses.

    Raises:
        TrainingError: the checkpoint in `folder` cannot be used.
    """
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    folder.mkdir(parents=True, exist_ok=True)
    lay_channels_last(stage.trained)
    stage.to(config.device)
    parameters = list(stage.trained.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=1e-4)
    done = 0
    if (folder / "checkpoint.safetensors").is_file():
        done = int(load_checkpoint(folder, stage.trained, optimiser)["step"])
    _trim_log(folder / "loss.csv", done)
    started = saved = time.monotonic()
    since_log: list[dict[str, float]] = []
    for step, batch in _batches(data, config, done):
        since_log.append(_step(stage, batch, optimiser, step, config))
        if (step + 1) % 10 == 0:
            means = {k: fmean(losses[k] for losses in since_log) for k in since_log[0]}
            _log(folder / "loss.csv", step + 1, means)
            report(Progress(step + 1, means, time.monotonic() - started))
            since_log = []
        if time.monotonic() - saved > config.checkpoint_seconds or step + 1 == config.steps:
            save_checkpoint(folder, stage.trained, optimiser, {"step": step + 1})
            saved = time.monotonic()


def _batches(
    data: Dataset[Any], config: LoopConfig, done: int
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Batches from step `done` on, drawn ahead by worker processes."""
    ahead = Subset(data, range(done * config.batch, config.steps * config.batch))
    loader = DataLoader(
        ahead,
        batch_size=config.batch,
        num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
        worker_init_fn=single_thread,
    )
    yield from enumerate(loader, start=done)


def _step(
    stage: Stage,
    batch: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    step: int,
    config: LoopConfig,
) -> dict[str, float]:
    """One optimiser step; returns the losses."""
    on_device = {k: v.to(config.device) for k, v in batch.items()}
    for group in optimiser.param_groups:
        group["lr"] = rate_at(step, config)
    kind = torch.device(config.device).type
    with torch.autocast(kind, torch.bfloat16, enabled=config.precision == "bf16"):
        found = stage.step(on_device, step)
    total = weighted_sum(found, config.weights)
    if not bool(torch.isfinite(total)):
        values = {k: float(v.detach()) for k, v in found.items()}
        raise TrainingError(
            f"step {step}: the loss is not finite ({values}); lower the learning rate"
        )
    optimiser.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(list(stage.trained.parameters()), 1.0)
    optimiser.step()
    return {k: float(v.detach()) for k, v in found.items()}


def _log(path: Path, step: int, means: dict[str, float]) -> None:
    new = not path.is_file()
    with path.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(["step", *means])
        writer.writerow([step, *(f"{v:.5f}" for v in means.values())])


def _trim_log(path: Path, done: int) -> None:
    """Drop log lines after the checkpoint, which the resumed run will write again."""
    if not path.is_file():
        return
    head, *rows = path.read_text().splitlines()
    kept = [row for row in rows if int(row.split(",")[0]) <= done]
    path.write_text("\n".join([head, *kept]) + "\n")
