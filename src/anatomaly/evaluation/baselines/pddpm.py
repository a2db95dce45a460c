"""pDDPM: only a patch is noised, its surroundings help; patches are stitched, score |x − x'|.

Source: Behrendt et al. 2023, arXiv:2303.03758: patches of half the side, t = 500, prediction of x
in one go; the loss counts the noised patch alone. What differs: patches of 40×48 pixels of 2 mm
on a 2×2 grid when scoring; a U-Net of MONAI.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anatomaly.evaluation.baselines.ddpm import TESTED_TIME, TIMES, DiffusionModel
from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.slicewise import masked_l1


class PatchedDiffusion(DiffusionModel):
    """The diffusion model of `ddpm.py`, noised in a patch."""

    def noise_patch(self, image: Tensor, patch: Tensor, times: Tensor) -> Tensor:
        """Noise where `patch` is 1; (B, 1, I, J) around [−1, 1]."""
        noisy = self.add_noise(image, self.noise_like(image), times)
        return patch * noisy + (1 - patch) * (2 * image - 1)

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """L1 inside a random patch at a random time."""
        height, width = image.shape[2] // 2, image.shape[3] // 2
        patch = torch.zeros_like(image)
        for one in patch:
            i, j = int(torch.randint(0, height + 1, ())), int(torch.randint(0, width + 1, ()))
            one[:, i : i + height, j : j + width] = 1
        times = torch.randint(TIMES, (len(image),)).to(image.device)
        predicted = self.predict(self.noise_patch(image, patch, times), times)
        return {"l1": masked_l1(predicted, image, mask * patch)}

    def rebuild(self, image: Tensor) -> Tensor:
        """Predict each quarter from the other three."""
        height, width = image.shape[2] // 2, image.shape[3] // 2
        times = torch.full((len(image),), TESTED_TIME, device=image.device)
        rebuilt = torch.zeros_like(image)
        for i in (0, height):
            for j in (0, width):
                patch = torch.zeros_like(image)
                patch[:, :, i : i + height, j : j + width] = 1
                rebuilt += patch * self.predict(self.noise_patch(image, patch, times), times)
        return rebuilt


METHOD = MethodCard(
    title="pDDPM",
    source="Behrendt et al. 2023, arXiv:2303.03758",
    differs="small U-Net of MONAI, 80×96 slices at 2 mm, 2×2 patches, median filter of 6 mm",
    build=lambda sequence, seed: PatchedDiffusion(seed),
)
