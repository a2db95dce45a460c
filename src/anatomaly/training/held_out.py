"""Validation during training: the loss on held-out samples, the best step, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from anatomaly.errors import TrainingError
from anatomaly.training.losses import weighted_sum

if TYPE_CHECKING:
    from lightning.fabric import Fabric


@dataclass(frozen=True)
class Standing:
    """How the held-out loss stands; kept in the checkpoint, so that a resumption knows.

    Attributes:
        best: lowest total so far.
        best_step: optimiser steps at that time; 0 before the first validation.
        stale: validations since then.
    """

    best: float = float("inf")
    best_step: int = 0
    stale: int = 0

    def after(self, total: float, step: int) -> Standing:
        """Return how it stands after one more validation.

        >>> Standing(best=2.0, best_step=10).after(2.5, 20).after(1.5, 30)
        Standing(best=1.5, best_step=30, stale=0)
        """
        if total < self.best:
            return Standing(total, step)
        return Standing(self.best, self.best_step, self.stale + 1)

    def has_ended(self, patience: int) -> bool:
        """Whether `patience` validations in a row were no better; 0 never ends."""
        return 0 < patience <= self.stale

    def as_state(self) -> dict[str, Any]:
        """Entries of a checkpoint's state; none before the first validation."""
        return asdict(self) if self.best_step else {}

    @staticmethod
    def of_state(state: Mapping[str, Any]) -> Standing:
        """Read what `as_state` wrote."""
        return Standing(**{k: state[k] for k in ("best", "best_step", "stale") if k in state})


def mean_losses(
    step: Callable[[Any, int], dict[str, Tensor]],
    held_out: Dataset[Any],
    fabric: Fabric,
    weights: Mapping[str, float],
    workers: int,
) -> dict[str, float]:
    """Mean losses over all held-out samples, `total` (their weighted sum) first.

    Sample i is seen alone and always with step i, so that only the weights make a difference; with
    several processes each sees its share.

    Raises:
        TrainingError: fewer samples than processes.
    """
    count = len(held_out)  # type: ignore[arg-type]
    if count < fabric.world_size:
        raise TrainingError(f"{count} held-out samples for {fabric.world_size} devices")
    mine = range(fabric.global_rank, count, fabric.world_size)
    loader = DataLoader(
        Subset(held_out, mine),
        num_workers=workers,
        worker_init_fn=single_thread,
        generator=torch.Generator(),  # the global one belongs to the training
    )
    rows: list[dict[str, Tensor]] = []
    with torch.no_grad(), fabric.autocast():
        for number, batch in zip(mine, loader, strict=True):
            losses = step(fabric.to_device(batch), number)
            rows.append({"total": weighted_sum(losses, weights), **losses})
    sums = torch.stack([torch.stack([v.float() for v in row.values()]) for row in rows]).sum(0)
    shared: Any = fabric.all_reduce(sums, reduce_op="sum")
    return dict(zip(rows[0], (shared / count).tolist(), strict=True))


def single_thread(_: int) -> None:
    """Keep a process that draws samples to one thread."""
    torch.set_num_threads(1)
