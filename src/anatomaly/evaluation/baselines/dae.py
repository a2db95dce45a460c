"""DAE: a U-Net that removes coarse noise; what it takes away from a scan is abnormal.

Source: Kascenas, Pugeault and O'Neil 2022, PMLR 172:653-664: noise of σ = .2 drawn on a coarse
grid and scaled up inside the brain, loss L2, score |x − x'| without noise. What differs: one
sequence in the place of four; noise drawn every 8 pixels of 2 mm; MONAI's U-Net.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.networks import make_unet
from anatomaly.evaluation.benchmark.slicewise import SlicewiseMethod, masked_l2

COARSENESS, DEVIATION = 8, 0.2


class DenoisingAutoencoder(SlicewiseMethod):
    """U-Net with skip connections."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.network = make_unet(seed)

    def rebuild(self, image: Tensor) -> Tensor:
        """Return what is left without the noise, (B, 1, I, J)."""
        rebuilt: Tensor = self.network(image)
        return rebuilt

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """L2 between the slice and what is left of its noisy copy."""
        rebuilt = self.rebuild(image + coarse_noise(image) * mask)
        return {"l2": masked_l2(rebuilt, image, mask)}


def coarse_noise(image: Tensor) -> Tensor:
    """Draw N(0, .2) every 8 pixels, scale it up, and roll it by up to 8 pixels."""
    batch, _, height, width = image.shape
    small = DEVIATION * torch.randn(batch, 1, height // COARSENESS, width // COARSENESS)
    noise = F.interpolate(small.to(image), size=(height, width), mode="bilinear")
    shift = torch.randint(COARSENESS, (2,)).tolist()
    rolled: Tensor = torch.roll(noise, shift, dims=(2, 3))
    return rolled


METHOD = MethodCard(
    title="DAE",
    source="Kascenas, Pugeault and O'Neil 2022, PMLR 172:653-664",
    differs="one sequence a network, 80×96 slices at 2 mm, MONAI's U-Net, median filter of 6 mm",
    build=lambda sequence, seed: DenoisingAutoencoder(seed),
)
