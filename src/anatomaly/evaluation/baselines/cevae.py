"""ceVAE: a VAE that also fills in what was cut out of its input; score residual × |∂L/∂x|.

Source: Zimmerer et al. 2018, arXiv:1812.05941: L = L_rec + L_KL + L_rec of an input with squares
set to 0 (no KL term); the score multiplies |x − x'| by the gradient of the VAE's loss. What
differs: one to three squares of 10 to 30 pixels of 2 mm; gradients smoothed over 3×3 pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from anatomaly.evaluation.baselines.vae import KL_WEIGHT, VariationalAutoencoder, divergence
from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.slicewise import masked_l1


class ContextEncodingVae(VariationalAutoencoder):
    """Dense variational autoencoder with a second, damaged input."""

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Losses of the VAE, and L1 of what was cut out and filled in."""
        filled = self.rebuild(cut_squares(image))
        return super().losses(image, mask) | {"context": masked_l1(filled, image, mask)}

    def score_slices(self, image: Tensor, mask: Tensor) -> Tensor:
        """Absolute residual times absolute gradient, the latter scaled to a mean of 1."""
        with torch.enable_grad():
            x = image.detach().requires_grad_()
            mean, log_variance = self.network.encode_forward(x)
            rebuilt = self.network.decode_forward(mean)
            each = ((rebuilt - x).abs() * mask).sum() / mask.sum().clamp_min(1)
            loss = each + KL_WEIGHT * divergence(mean, log_variance)
            (gradient,) = torch.autograd.grad(loss, x)
        slope = F.avg_pool2d(gradient.abs(), 3, stride=1, padding=1)
        slope = slope / (slope * mask).sum().clamp_min(1e-12) * mask.sum()
        score: Tensor = (image - rebuilt.detach()).abs() * slope
        return score


def cut_squares(image: Tensor) -> Tensor:
    """Set one to three random squares of each slice to 0."""
    out = image.clone()
    for one in out:
        for _ in range(int(torch.randint(1, 4, ()))):
            side = int(torch.randint(10, 31, ()))
            i, j = (int(torch.randint(0, n - side, ())) for n in one.shape[1:])
            one[:, i : i + side, j : j + side] = 0
    return out


METHOD = MethodCard(
    title="ceVAE",
    source="Zimmerer et al. 2018, arXiv:1812.05941",
    differs="80×96 slices at 2 mm, L1, gradient smoothed over 3×3 pixels, median filter of 6 mm",
    build=lambda sequence, seed: ContextEncodingVae(seed),
)
