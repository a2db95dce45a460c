"""The training loop: draws, steps, validates, logs; resumes exactly where it was killed.

On CUDA a resumed run is the same up to rounding: each run chooses its kernels anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from anatomaly.errors import TrainingError
from anatomaly.model.unet import lay_channels_last
from anatomaly.networks import keep_freed_memory
from anatomaly.training.checkpoint import (
    BEST_FILE,
    LAST_FILE,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from anatomaly.training.fabric import open_fabric
from anatomaly.training.held_out import Standing, mean_losses, single_thread
from anatomaly.training.loss_log import append_losses, drop_losses_after
from anatomaly.training.losses import weighted_sum
from anatomaly.training.pace import Pace

if TYPE_CHECKING:
    from lightning.fabric import Fabric

MOST_LOST = 5
"""Steps in a row whose gradient is not finite, and which are left out, before a training ends."""

T = TypeVar("T")


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
        batch: pairs a step, over all devices together.
        learning_rate: peak; linear warm-up over 100 steps, cosine to a twentieth at the end.
        workers: processes that draw samples.
        threads: CPU threads of the networks.
        checkpoint_seconds: time between checkpoints.
        precision: `bf16` or `fp32`.
        device: torch device.
        weights: of the losses in their sum, by name; 1 for those not named.
        devices: of that kind on each node, a process each; on the CPU processes.
        nodes: machines, which all see the same folder.
        validate_every: steps between validations on held-out samples; 0 for none.
        patience: validations without a lower loss after which a stage ends; 0 for never.
        processes: that share each device and average their gradients.
        seconds: what the stage may take instead of `steps`; 0 for no limit.
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
    devices: int = 1
    nodes: int = 1
    validate_every: int = 0
    patience: int = 0
    processes: int = 1
    seconds: float = 0.0

    def length(self) -> str:
        """Say how long a stage takes, in seconds if they count, else in steps."""
        return f"{self.seconds:.0f} s" if self.seconds else f"{self.steps} steps"


@dataclass(frozen=True)
class Progress:
    """One logged step."""

    step: int
    losses: dict[str, float]
    seconds: float


def rate_at(step: int, config: LoopConfig, share: float | None = None) -> float:
    """Learning rate of a step: warm-up, then cosine decay to 5 %.

    Args:
        step: from 0.
        config: peak and length.
        share: of the stage that is done, by the clock; None counts steps.
    """
    pace = Pace(config.steps, config.seconds)
    done = min(1.0, step / config.steps) if share is None else share
    cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * done)).item())
    return config.learning_rate * pace.warm(step, done) * (0.05 + 0.95 * cosine)


def train_stage(
    stage: Stage,
    data: Dataset[Any],
    folder: Path,
    config: LoopConfig,
    report: Callable[[Progress], None] = lambda _: None,
    held_out: Dataset[Any] | None = None,
) -> None:
    """Train one stage, from the last checkpoint in `folder` where there is one.

    Writes `checkpoint.safetensors` and appends to `loss.csv` in `folder`; with held-out samples
    also `validation.csv` and `best.safetensors`, whose weights the stage has in the end.

    Args:
        stage: what is trained; only `stage.trained` changes.
        data: sample i must depend on i alone, so that a resumed run sees the same samples.
        folder: of this stage.
        config: length and speed.
        report: called every ten steps with mean losses.
        held_out: few samples, always the same, looked at every `validate_every` steps.

    Raises:
        TrainingError: the checkpoint in `folder` cannot be used, the batch cannot be shared
            between the devices, or Lightning is not installed.
    """
    fabric = open_fabric(
        config.device, config.precision, config.devices, config.nodes, config.processes
    )
    if config.batch % fabric.world_size:
        raise TrainingError(
            f"batch {config.batch} must be a multiple of the {fabric.world_size} devices"
        )
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(stage, folder, config, fabric, held_out)
    done, before = run.resume()
    pace = Pace(config.steps, config.seconds, before)
    if run.standing.has_ended(config.patience) or before >= 1:
        done = -1
    for step, batch in _batches(data, config, done, fabric):
        if run.advance(step, batch, pace, report):
            break
    fabric.barrier()  # rank 0 has written all that the others go on to read
    if run.standing.best_step:
        stage.trained.load_state_dict(read_checkpoint(folder, BEST_FILE)[0])


class _Trained(nn.Module):
    """What Fabric wraps: the parameters that change, and a step that uses them.

    The step comes as a function, because mixed precision would round a batch given to `forward`.
    """

    def __init__(self, trained: nn.Module) -> None:
        super().__init__()
        self.trained = trained

    def forward(self, step: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        return step()


class _Run:
    """One stage on its devices: optimiser, checkpoints and logs; the first process writes."""

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        config: LoopConfig,
        fabric: Fabric,
        held_out: Dataset[Any] | None,
    ) -> None:
        self.stage, self.folder, self.config, self.fabric = stage, folder, config, fabric
        self.held_out = held_out if config.validate_every > 0 else None
        lay_channels_last(stage.trained)
        stage.to(str(fabric.device))
        self.parameters = list(stage.trained.parameters())
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, weight_decay=1e-4
        )
        self.lost, self.since_log, self.standing = 0, list[dict[str, float]](), Standing()
        self.module, self.stepper = fabric.setup(_Trained(stage.trained), self.optimiser)

    def resume(self) -> tuple[int, float]:
        """Load the checkpoint, if there is one.

        Returns:
            Steps done, and the share done where the clock counts.
        """
        state: dict[str, Any] = {"step": 0}
        if (self.folder / LAST_FILE).is_file():
            state = load_checkpoint(self.folder, self.stage.trained, self.optimiser)
        if self.fabric.is_global_zero:
            for name in ("loss.csv", "validation.csv"):
                drop_losses_after(self.folder / name, int(state["step"]))
        self.fabric.barrier()  # nobody writes before all have read
        if self.held_out is not None:
            self.standing = Standing.of_state(state)
        self.started = self.saved = time.monotonic()
        return int(state["step"]), float(state.get("share", 0.0)) if self.config.seconds else 0.0

    def advance(
        self, step: int, batch: dict[str, Tensor], pace: Pace, report: Callable[[Progress], None]
    ) -> bool:
        """Take one step and do all that is due after it; returns whether the stage has ended."""
        config, done = self.config, step + 1
        share = self.agree(pace.share(step))
        self.since_log += self.step(batch, step, share)
        ended = self.agree(pace.ends_after(step))
        if self.since_log and (done % 10 == 0 or (ended and config.seconds)):
            means = self.log(done, self.since_log)
            report(Progress(done, means, time.monotonic() - self.started))
            self.since_log = []
        if self.held_out is not None and done % config.validate_every == 0:
            self.validate(self.held_out, done)
        ended = ended or self.standing.has_ended(config.patience)
        if ended or time.monotonic() - self.saved > config.checkpoint_seconds:
            clock = {"share": 1.0 if ended else share} if config.seconds else {}
            self.save(self.optimiser, {"step": done} | self.standing.as_state() | clock)
            self.saved = time.monotonic()
        return ended

    def agree(self, value: T) -> T:
        """Return what the first process found, where the clock counts and there are several."""
        if self.fabric.world_size == 1 or not self.config.seconds:
            return value
        agreed: T = self.fabric.broadcast(value)
        return agreed

    def step(self, batch: dict[str, Tensor], step: int, share: float) -> list[dict[str, float]]:
        """One optimiser step; returns its losses, or nothing if it was left out."""
        fabric = self.fabric
        on_device = fabric.to_device(batch)
        number = step * fabric.world_size + fabric.global_rank  # seeds what a stage draws
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(step, self.config, share)
        losses = self.module(lambda: self.stage.step(on_device, number))
        total = weighted_sum(losses, self.config.weights)
        self.optimiser.zero_grad(set_to_none=True)
        fabric.backward(total)
        length = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        values = {k: float(v.detach()) for k, v in losses.items()}
        if bool(torch.isfinite(length)):  # of the mean gradient: all processes find the same
            self.lost = 0
            self.stepper.step()
            return [values]
        self.lost += 1
        if self.lost >= MOST_LOST:
            raise TrainingError(
                f"step {step}: the gradient is not finite for the {self.lost}th time in a row "
                f"(losses of this process: {values}); lower the learning rate"
            )
        return []

    def log(self, step: int, losses: list[dict[str, float]]) -> dict[str, float]:
        """Mean losses of the last steps over all devices, also into `loss.csv`."""
        means = {k: fmean(row[k] for row in losses) for k in losses[0]}
        if self.fabric.world_size > 1:
            shared: Any = self.fabric.all_reduce(torch.tensor(list(means.values())))
            means = dict(zip(means, shared.tolist(), strict=True))
        if self.fabric.is_global_zero:
            append_losses(self.folder / "loss.csv", step, means)
        return means

    def validate(self, held_out: Dataset[Any], step: int) -> None:
        """Look at the held-out samples; keep the weights if they are the best so far."""
        config = self.config
        means = mean_losses(self.stage.step, held_out, self.fabric, config.weights, config.workers)
        self.standing = self.standing.after(means["total"], step)
        if self.fabric.is_global_zero:
            append_losses(self.folder / "validation.csv", step, means)
        if self.standing.best_step == step:
            self.save(None, {"step": step} | self.standing.as_state(), BEST_FILE)

    def save(
        self, optimiser: torch.optim.Optimizer | None, state: dict[str, Any], name: str = LAST_FILE
    ) -> None:
        """Write a checkpoint."""
        if self.fabric.is_global_zero:
            save_checkpoint(self.folder, self.stage.trained, optimiser, state, name)


def rank_batches(done: int, config: LoopConfig, rank: int, ranks: int) -> Iterator[list[int]]:
    """Indices of the samples that one of several processes sees in each step from `done` on.

    Step s needs samples s · batch to (s + 1) · batch − 1, whatever the number of processes. By the
    clock there is no last step.

    >>> list(rank_batches(1, LoopConfig(steps=3, batch=4), rank=1, ranks=2))
    [[6, 7], [10, 11]]
    """
    each = config.batch // ranks
    for step in count(done) if config.seconds else range(done, config.steps):
        first = step * config.batch + rank * each
        yield list(range(first, first + each))


def _batches(
    data: Dataset[Any], config: LoopConfig, done: int, fabric: Fabric
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """Batches from step `done` on, drawn ahead by worker processes; none from step −1 on."""
    indices = rank_batches(done, config, fabric.global_rank, fabric.world_size)
    loader = DataLoader(
        data,
        batch_sampler=islice(indices, 0 if done < 0 else None),
        num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
        worker_init_fn=single_thread,
    )
    yield from enumerate(loader, start=done)
