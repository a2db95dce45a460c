"""DDPM: noise the slice half-way, let a diffusion model predict the clean slice, score |x − x'|.

Source: Ho, Jain and Abbeel 2020, arXiv:2006.11239: x_t = √ᾱ_t x + √(1 − ᾱ_t) ε; used on brains as
by Behrendt et al. 2023, arXiv:2303.03758: the network predicts x itself, once, at t = 500 of 1000.
What differs: a U-Net of MONAI with 16, 32 and 64 channels; slices of 80×96 at 2 mm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.networks import make_diffusion_unet, make_schedule
from anatomaly.evaluation.benchmark.slicewise import SlicewiseMethod, masked_l1

TIMES, TESTED_TIME = 1000, 500


class DiffusionModel(SlicewiseMethod):
    """U-Net that predicts the clean slice; slices go in and out in [−1, 1]."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.network = make_diffusion_unet(seed)
        self.schedule: Any = make_schedule(TIMES)

    def noise_like(self, image: Tensor) -> Tensor:
        """Draw what is added: Gaussian."""
        return torch.randn(image.shape).to(image)

    def add_noise(self, image: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Mix a slice in [0, 1] with noise, (B, 1, I, J) around [−1, 1]."""
        noisy: Tensor = self.schedule.add_noise(2 * image - 1, noise, times)
        return noisy

    def predict(self, noisy: Tensor, times: Tensor) -> Tensor:
        """Predict clean slices in [0, 1] from noisy ones at their times."""
        predicted: Tensor = (self.network(noisy, timesteps=times) + 1) / 2
        return predicted

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """L1 between the slice and its prediction at a random time."""
        times = torch.randint(TIMES, (len(image),)).to(image.device)
        noisy = self.add_noise(image, self.noise_like(image), times)
        return {"l1": masked_l1(self.predict(noisy, times), image, mask)}

    def rebuild_at(self, image: Tensor, time: int) -> Tensor:
        """Noise slices up to a time and predict the clean ones in one go."""
        times = torch.full((len(image),), time, device=image.device)
        return self.predict(self.add_noise(image, self.noise_like(image), times), times)

    def rebuild(self, image: Tensor) -> Tensor:
        """Rebuild from the time that is tested."""
        return self.rebuild_at(image, TESTED_TIME)


METHOD = MethodCard(
    title="DDPM",
    source="Ho et al. 2020, arXiv:2006.11239, used as by Behrendt et al. 2023, arXiv:2303.03758",
    differs="small U-Net of MONAI, 80×96 slices at 2 mm, median filter of 6 mm",
    build=lambda sequence, seed: DiffusionModel(seed),
)
