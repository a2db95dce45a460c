"""Methods that read axial slices: what all of them share, so that a file holds its paper alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from anatomaly.evaluation.benchmark.method import Trainer
from anatomaly.evaluation.benchmark.slices import Slices, SliceSamples, cut_slices, join_slices
from anatomaly.types import FloatArray
from anatomaly.volume import PreparedImage

SCORED_AT_ONCE = 20
"""Slices that go through a network together when a scan is scored."""


class TrainedMethod(nn.Module):
    """Networks that one loop trains.

    Args:
        seed: of weights, samples and noise; the same seed gives the same numbers on one machine.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    @property
    def trained(self) -> nn.Module:
        """What the loop changes."""
        return self

    @property
    def parameters_count(self) -> int:
        """Numbers that were learnt."""
        return sum(p.numel() for p in self.trained.parameters())


class SlicewiseMethod(TrainedMethod, ABC):
    """A network for slices; a subclass gives its losses, and how it rebuilds or scores."""

    @abstractmethod
    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Return the losses of healthy slices.

        Args:
            image: (B, C, I, J), one channel unless `cut` gives more.
            mask: (B, 1, I, J), 1 inside the brain.
        """

    def rebuild(self, image: Tensor) -> Tensor:
        """Return what the network makes of slices, (B, 1, I, J) in [0, 1]."""
        raise NotImplementedError

    def score_slices(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return (B, 1, I, J) >= 0 for slices of one scan: |x − x'| unless overridden."""
        return (image - self.rebuild(image)).abs()

    def cut(self, prepared: PreparedImage) -> Slices:
        """Cut an image into what the network reads: the image itself unless overridden."""
        return cut_slices(prepared)

    def step(self, batch: dict[str, Tensor], step: int = 0) -> dict[str, Tensor]:
        """Losses of one step, whose random numbers depend on seed and step alone."""
        with seeded(self.seed, step):
            return self.losses(batch["image"], batch["mask"])

    def fit(self, healthy: Sequence[PreparedImage], trainer: Trainer) -> None:
        """Train on slices of healthy images, or load what was trained before."""
        samples = SliceSamples([self.cut(image) for image in healthy], self.seed)
        self.train()
        self.train_parts(samples, trainer)
        self.eval()

    def train_parts(self, samples: SliceSamples, trainer: Trainer) -> None:
        """Train the network; a method of several parts trains one after the other."""
        trainer.train("network", self, samples)

    @torch.no_grad()
    def score(self, prepared: PreparedImage) -> FloatArray:
        """Return the score map, (I, J, K) float32 >= 0; noise is the same for every scan."""
        device = next(self.parameters()).device
        image, mask = (part.to(device) for part in self.cut(prepared))
        scores = torch.zeros_like(mask)
        brain_slices = mask.sum((1, 2, 3)).nonzero()[:, 0]
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            for some in torch.split(brain_slices, SCORED_AT_ONCE):
                slice_scores = self.score_slices(image[some], mask[some])
                scores[some] = slice_scores.detach() * mask[some]
        return join_slices(scores, prepared.brain_mask)


@contextmanager
def seeded(seed: int, step: int) -> Iterator[None]:
    """Let the random numbers of a training step depend on seed and step alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed * 1_000_003 + step)
        yield


def masked_l1(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference inside the brain."""
    return ((first - second).abs() * mask).sum() / mask.sum().clamp_min(1)


def masked_l2(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference inside the brain."""
    return ((first - second).square() * mask).sum() / mask.sum().clamp_min(1)
