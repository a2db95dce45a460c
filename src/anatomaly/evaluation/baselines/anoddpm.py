"""AnoDDPM: noise of many scales up to t = 250, then step by step back; score (x − x')².

Source: Wyatt et al. 2022, doi 10.1109/CVPRW56347.2022.00080: simplex noise of six octaves in the
place of Gaussian noise, so that large lesions are noised away too. What differs: each octave is
Gaussian noise on a grid, scaled up (no simplex lattice); 12 DDIM steps in the place of 250 DDPM
steps; slices of 80×96 at 2 mm.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from anatomaly.evaluation.baselines.ddpm import TIMES, DiffusionModel
from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.networks import make_schedule
from anatomaly.evaluation.benchmark.slicewise import masked_l2

NOISED_TO, STRIDE = 240, 20
OCTAVES, PERSISTENCE, COARSEST = 6, 0.8, 64


class MultiScaleDiffusion(DiffusionModel):
    """Diffusion model that predicts noise of many scales."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.schedule = make_schedule(TIMES, predicts="epsilon")
        self.schedule.set_timesteps(TIMES // STRIDE)

    def noise_like(self, image: Tensor) -> Tensor:
        """Draw noise of six octaves, unit variance."""
        return octave_noise(tuple(image.shape)).to(image)

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """L2 between the noise and its prediction, over the whole slice."""
        times = torch.randint(TIMES, (len(image),)).to(image.device)
        noise = self.noise_like(image)
        predicted = self.network(self.add_noise(image, noise, times), timesteps=times)
        return {"l2": masked_l2(predicted, noise, torch.ones_like(mask))}

    def score_slices(self, image: Tensor, mask: Tensor) -> Tensor:
        """Squared residual."""
        start = torch.full((len(image),), NOISED_TO, device=image.device)
        noisy = self.add_noise(image, self.noise_like(image), start)
        for time in range(NOISED_TO, -1, -STRIDE):
            times = torch.full((len(image),), time, device=image.device)
            noisy, _ = self.schedule.step(self.network(noisy, timesteps=times), time, noisy)
        return (image - (noisy + 1) / 2).square()


def octave_noise(shape: tuple[int, ...]) -> Tensor:
    """Draw noise whose octave n has σ ∝ .8ⁿ and points 64 / 2ⁿ pixels apart, unit variance.

    Args:
        shape: (B, 1, I, J).
    """
    height, width = shape[2:]
    total = torch.zeros(shape)
    for octave in range(OCTAVES):
        apart = COARSEST // 2**octave
        small = torch.randn(shape[0], 1, height // apart + 2, width // apart + 2)
        size = (small.shape[2] * apart, small.shape[3] * apart)
        full = F.interpolate(small, size=size, mode="bicubic")[..., :height, :width]
        total += PERSISTENCE**octave * full
    return total / total.std(dim=(1, 2, 3), keepdim=True)


METHOD = MethodCard(
    title="AnoDDPM",
    source="Wyatt et al. 2022, doi 10.1109/CVPRW56347.2022.00080",
    differs="octaves of grid noise, 12 DDIM steps, 80×96 slices at 2 mm, median filter of 6 mm",
    build=lambda sequence, seed: MultiScaleDiffusion(seed),
)
