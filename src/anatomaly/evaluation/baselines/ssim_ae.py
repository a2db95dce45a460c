"""SSIM-AE: an autoencoder trained and scored by 1 − SSIM, which sees structure, not brightness.

Source: Bergmann et al. 2019, arXiv:1807.02011, window 11. What differs: SSIM of MONAI, Gaussian of
1.5 voxels; slices of 80×96 at 2 mm; the dense autoencoder of the file `ae.py`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from anatomaly.evaluation.baselines.ae import Autoencoder
from anatomaly.evaluation.benchmark.method import MethodCard

WINDOW, SIGMA = 11, 1.5


class SsimAutoencoder(Autoencoder):
    """Dense autoencoder with another loss and score."""

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """1 − SSIM inside the brain."""
        rebuilt = self.rebuild(image) * mask
        return {"ssim": (dissimilarity(rebuilt, image) * mask).sum() / mask.sum().clamp_min(1)}

    def score_slices(self, image: Tensor, mask: Tensor) -> Tensor:
        """1 − SSIM, halved into [0, 1]."""
        return dissimilarity(self.rebuild(image) * mask, image)


def dissimilarity(first: Tensor, second: Tensor) -> Tensor:
    """Return (1 − SSIM) / 2 at every pixel of (B, C, I, J) in [0, 1]; mirrored at the border."""
    from monai.metrics.regression import compute_ssim_and_cs

    pad = (WINDOW // 2,) * 4
    similarity, _ = compute_ssim_and_cs(
        F.pad(first, pad, mode="reflect"),
        F.pad(second, pad, mode="reflect"),
        spatial_dims=2,
        kernel_size=[WINDOW] * 2,
        kernel_sigma=[SIGMA] * 2,
        data_range=1.0,
    )
    return ((1 - similarity) / 2).clamp(0, 1)


METHOD = MethodCard(
    title="SSIM-AE",
    source="Bergmann et al. 2019, arXiv:1807.02011",
    differs="80×96 slices at 2 mm, dense bottleneck, median filter of 6 mm",
    build=lambda sequence, seed: SsimAutoencoder(seed),
)
