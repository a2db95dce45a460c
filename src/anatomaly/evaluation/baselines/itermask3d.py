"""IterMask3D-style: hide the brain, rebuild it from high frequencies, uncover what comes out well.

Source: Liang et al. 2025, arXiv:2504.04911, after arXiv:2406.02422: the network fills in a masked
volume, helped by its high-pass image; the mask shrinks where the error is small; the error of what
is still hidden is the score. What differs: 2 mm; trained on cubes of 48 voxels with masks of random
smooth shape; eight rounds that each uncover a quarter of what is hidden; the score of a voxel is
its error in the last round in which it was hidden; a U-Net of MONAI with 16 to 128 channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from anatomaly.evaluation.benchmark.method import MethodCard, Trainer
from anatomaly.evaluation.benchmark.networks import make_unet
from anatomaly.evaluation.benchmark.slices import cut_slices, join_slices
from anatomaly.evaluation.benchmark.slicewise import TrainedMethod, masked_l2, seeded
from anatomaly.types import FloatArray
from anatomaly.volume import PreparedImage

CUBE, ROUNDS, UNCOVERED, BATCH = 48, 8, 0.25, 2
LOW_PASS = 7
"""Side of the box whose mean is taken away for the high-pass image, voxels of 2 mm."""


class Cubes(Dataset[dict[str, Tensor]]):
    """Random cubes of healthy volumes, as deep as the volumes if these are thinner."""

    def __init__(self, volumes: list[Tensor], seed: int) -> None:
        self.volumes, self.seed = volumes, seed

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return image, mask and high-pass image, (3, I, J, K); sample i depends on i alone."""
        rng = np.random.default_rng([self.seed, index])
        volume = self.volumes[int(rng.integers(len(self.volumes)))]
        starts = [int(rng.integers(max(1, n - CUBE + 1))) for n in volume.shape[1:]]
        i, j, k = (slice(start, start + CUBE) for start in starts)
        return {"volume": volume[:, i, j, k]}


class IterativeMasking(TrainedMethod):
    """Fills in what is hidden; also the stage of its training."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.network: Any = make_unet(seed, channels_in=3, dims=3)

    def step(self, batch: dict[str, Tensor], step: int = 0) -> dict[str, Tensor]:
        """L2 of what was hidden."""
        image, mask, high = batch["volume"].chunk(3, dim=1)
        with seeded(self.seed, step):
            hidden = random_cover(tuple(image.shape)).to(image) * mask
        return {"l2": masked_l2(self.fill(image, hidden, high), image, hidden)}

    def fill(self, image: Tensor, hidden: Tensor, high: Tensor) -> Tensor:
        """Predict the image where `hidden` is 1, all (B, 1, I, J, K)."""
        seen = torch.cat([image * (1 - hidden), hidden, high], dim=1)
        filled: Tensor = self.network(seen)
        return filled

    def fit(self, healthy: Sequence[PreparedImage], trainer: Trainer) -> None:
        """Train on cubes of healthy volumes."""
        self.train()
        samples = Cubes([volume_of(prepared) for prepared in healthy], self.seed)
        trainer.train("network", self, samples, batch=BATCH)
        self.eval()

    @torch.no_grad()
    def score(self, prepared: PreparedImage) -> FloatArray:
        """Return the score map, (I, J, K) float32 >= 0."""
        device = next(self.parameters()).device
        image, mask, high = volume_of(prepared)[None].to(device).chunk(3, dim=1)
        hidden, error = mask.clone(), torch.zeros_like(image)
        for _ in range(ROUNDS):
            gap = (self.fill(image, hidden, high) - image).abs() * mask
            smooth = F.avg_pool3d(gap, 3, stride=1, padding=1)
            error = torch.where(hidden > 0, smooth, error)
            still = smooth[hidden > 0]
            if not len(still):
                break
            cut = still.kthvalue(max(1, int(UNCOVERED * len(still)))).values
            hidden = hidden * (smooth > cut)
        return join_slices(error[0].permute(3, 0, 1, 2), prepared.brain_mask)


def volume_of(prepared: PreparedImage) -> Tensor:
    """Return image, mask and high-pass image at 2 mm, (3, I, J, K)."""
    image, mask = (part[:, 0].permute(1, 2, 0) for part in cut_slices(prepared))
    both = torch.stack([image, mask])[None]
    low, share = F.avg_pool3d(both, LOW_PASS, stride=1, padding=LOW_PASS // 2)[0]
    return torch.stack([image, mask, (image - low / share.clamp_min(1e-3)) * mask])


def random_cover(shape: tuple[int, ...]) -> Tensor:
    """Draw a mask of smooth random shape that hides 10 to 100 % of (B, 1, I, J, K)."""
    coarse = torch.randn(shape[0], 1, 6, 6, 6)
    level = F.interpolate(coarse, size=shape[2:], mode="trilinear")
    hidden = 0.1 + 0.9 * torch.rand(shape[0])
    cuts = torch.stack([v.flatten().quantile(1 - h) for v, h in zip(level, hidden, strict=True)])
    return (level >= cuts.view(-1, 1, 1, 1, 1)).float()


METHOD = MethodCard(
    title="IterMask3D-style",
    source="Liang et al. 2025, arXiv:2504.04911",
    differs="2 mm, cubes of 48 voxels, eight rounds of a quarter, median filter of 6 mm",
    build=lambda sequence, seed: IterativeMasking(seed),
)
