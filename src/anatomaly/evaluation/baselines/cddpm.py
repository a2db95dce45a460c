"""cDDPM: a diffusion model that is told what the scan looks like by a code of the clean slice.

Source: Behrendt et al. 2023, arXiv:2312.04215: an encoder's vector conditions the denoising; the
prediction is the mean over t = 250, 500 and 750. What differs: the encoder is trained together
with the U-Net (no masked pretraining), its 64 numbers enter by cross-attention; a U-Net of MONAI.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anatomaly.evaluation.baselines.ddpm import DiffusionModel
from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.networks import make_diffusion_unet, make_encoder

TESTED_TIMES, NUMBERS = (250, 500, 750), 64


class ConditionedDiffusion(DiffusionModel):
    """The diffusion model of `ddpm.py` with an encoder."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.network = make_diffusion_unet(seed, condition=NUMBERS)
        self.encoder = make_encoder(seed + 1, NUMBERS)
        self._code: Tensor | None = None

    def predict(self, noisy: Tensor, times: Tensor) -> Tensor:
        """Predict clean slices in [0, 1] from noisy ones and the code of the clean ones."""
        predicted: Tensor = self.network(noisy, timesteps=times, context=self._code)
        return (predicted + 1) / 2

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """L1 between the slice and its prediction at a random time."""
        self._code = self.encoder(image)[:, None]
        return super().losses(image, mask)

    def rebuild(self, image: Tensor) -> Tensor:
        """Return the mean prediction."""
        self._code = self.encoder(image)[:, None]
        return torch.stack([self.rebuild_at(image, time) for time in TESTED_TIMES]).mean(0)


METHOD = MethodCard(
    title="cDDPM",
    source="Behrendt et al. 2023, arXiv:2312.04215",
    differs="encoder not pretrained, cross-attention, 80×96 slices at 2 mm, median filter of 6 mm",
    build=lambda sequence, seed: ConditionedDiffusion(seed),
)
