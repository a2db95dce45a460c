"""VAE: an autoencoder whose codes are kept near a normal distribution, score |x − x'|.

Source: Baur et al. 2021, doi 10.1016/j.media.2020.101952, after Kingma and Welling 2014,
arXiv:1312.6114: L = |x − x'| + β KL(q(z|x) || N(0, 1)). What differs: slices of 80×96 at 2 mm;
the mean of the code is decoded when scoring; β is .001 for sums over the slice.
"""

from __future__ import annotations

from torch import Tensor

from anatomaly.evaluation.baselines.ae import Autoencoder
from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.slicewise import masked_l1

KL_WEIGHT = 1e-3


class VariationalAutoencoder(Autoencoder):
    """The autoencoder of `ae.py` with codes kept near a normal distribution."""

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """L1 inside the brain, and the divergence of the codes."""
        rebuilt, mean, spread, _ = self.network(image)
        return {"l1": masked_l1(rebuilt, image, mask), "kl": KL_WEIGHT * divergence(mean, spread)}


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1), mean over codes and numbers.

    >>> import torch
    >>> divergence(torch.zeros(2, 3), torch.zeros(2, 3))
    tensor(0.)
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


METHOD = MethodCard(
    title="VAE",
    source="Baur et al. 2021, doi 10.1016/j.media.2020.101952",
    differs="80×96 slices at 2 mm, MONAI's convolutions, median filter of 6 mm",
    build=lambda sequence, seed: VariationalAutoencoder(seed),
)
