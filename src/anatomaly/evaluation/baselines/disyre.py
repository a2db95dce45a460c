"""DISYRE-style: cold diffusion that takes synthetic anomalies back bit by bit; score |x − x'|.

Source: Naval Marimont et al. 2023, arXiv:2311.15453: a network learns to restore slices into which
a patch of another person was blended with weight t / T, and at test time restores in a few steps.
What differs: whole slices (no sliding window); the patch is a smooth random blob of another slice
of the batch, with a random shift of its brightness; 4 steps; a U-Net of MONAI.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anatomaly.evaluation.baselines.anoddpm import octave_noise
from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.networks import make_diffusion_unet
from anatomaly.evaluation.benchmark.slicewise import SlicewiseMethod, masked_l1

TIMES, STEPS, SHIFT = 100, 4, 0.4


class SyntheticRestoration(SlicewiseMethod):
    """U-Net that restores a slice, told how much of it is foreign."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.network = make_diffusion_unet(seed)

    def restore(self, image: Tensor, times: Tensor) -> Tensor:
        """Predict the healthy slice."""
        restored: Tensor = image + self.network(image, timesteps=times)
        return restored

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """L1 between the slice and what is restored of its damaged copy."""
        times = torch.randint(1, TIMES + 1, (len(image),)).to(image.device)
        damaged = blend_foreign(image, times / TIMES) * mask
        return {"l1": masked_l1(self.restore(damaged, times), image, mask)}

    def score_slices(self, image: Tensor, mask: Tensor) -> Tensor:
        """Absolute change over all steps: x_(t−s) = x_t − (s / T) (x_T − x')."""
        current = image
        for step in range(STEPS):
            time = TIMES - step * TIMES // STEPS
            times = torch.full((len(image),), time, device=image.device)
            restored = self.restore(current, times)
            current = current - (image - restored) / STEPS
        return (image - current).abs()


def blend_foreign(image: Tensor, weight: Tensor) -> Tensor:
    """Blend a blob of another slice, its brightness shifted by U(−.4, .4), into each slice.

    Args:
        image: (B, 1, I, J) in [0, 1].
        weight: (B,), share of the foreign slice inside the blob.
    """
    level = octave_noise(tuple(image.shape)).to(image)
    smooth = torch.nn.functional.avg_pool2d(level, 9, stride=1, padding=4)
    blob = torch.sigmoid(20 * (smooth - 0.9 * smooth.amax((2, 3), keepdim=True) + 0.15))
    shift = SHIFT * (2 * torch.rand(len(image), 1, 1, 1).to(image) - 1)
    foreign = (image.roll(1, dims=0) + shift).clamp(0, 1)
    share = weight.view(-1, 1, 1, 1) * blob
    return (1 - share) * image + share * foreign


METHOD = MethodCard(
    title="DISYRE-style",
    source="Naval Marimont et al. 2023, arXiv:2311.15453",
    differs="whole 80×96 slices at 2 mm, blobs of other slices, 4 steps, median filter of 6 mm",
    build=lambda sequence, seed: SyntheticRestoration(seed),
)
