"""VAE restoration: move the scan downhill until a VAE finds it likely; score = what had to change.

Source: Chen, You, Tezcan and Konukoglu 2020, doi 10.1016/j.media.2020.101713: maximise
ELBO(x) − λ TV(y − x) by gradient steps from the scan y, score |y − x|. What differs: a plain VAE
(not the mixture prior); L2 in the ELBO; 30 steps of .1; λ = .02 is not tuned on healthy scans.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anatomaly.evaluation.baselines.vae import KL_WEIGHT, VariationalAutoencoder, divergence
from anatomaly.evaluation.benchmark.method import MethodCard

STEPS, RATE, SMOOTHNESS = 30, 0.1, 0.02


class VaeRestoration(VariationalAutoencoder):
    """The VAE of `vae.py`, with another score."""

    def score_slices(self, image: Tensor, mask: Tensor) -> Tensor:
        """Absolute change by the restoration."""
        restored = image.clone()
        for _ in range(STEPS):
            restored = (restored - RATE * self._uphill(restored, image) * mask).clamp(0, 1)
        return (image - restored).abs()

    def _uphill(self, restored: Tensor, image: Tensor) -> Tensor:
        """Gradient of −ELBO + λ TV, (B, 1, I, J)."""
        with torch.enable_grad():
            x = restored.detach().requires_grad_()
            mean, log_variance = self.network.encode_forward(x)
            misfit = 0.5 * (self.network.decode_forward(mean) - x).square().sum()
            unlikely = KL_WEIGHT * divergence(mean, log_variance) * mean.numel()
            loss = misfit + unlikely + SMOOTHNESS * total_variation(image - x)
            return torch.autograd.grad(loss, x)[0]


def total_variation(difference: Tensor) -> Tensor:
    """Sum of absolute differences between neighbouring pixels of (B, 1, I, J).

    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]]))
    tensor(2.)
    """
    return difference.diff(dim=2).abs().sum() + difference.diff(dim=3).abs().sum()


METHOD = MethodCard(
    title="VAE restoration",
    source="Chen et al. 2020, doi 10.1016/j.media.2020.101713",
    differs="plain VAE, L2, 30 steps, fixed λ, 80×96 slices at 2 mm, median filter of 6 mm",
    build=lambda sequence, seed: VaeRestoration(seed),
)
