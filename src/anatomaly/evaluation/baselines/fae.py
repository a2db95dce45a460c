"""FAE-style: an autoencoder of feature maps; where their structure is not rebuilt is abnormal.

Source: Meissen et al. 2022, arXiv:2208.10992: SSIM as loss and score on features of a frozen
network. What differs: features are those of our own anatomy extractor's first layer (32 channels
at 2 mm, trained on drawn scans) in the place of ImageNet's; standardised by channel on the healthy
images and squeezed into [0, 1]; a convolutional bottleneck of 32 channels at an eighth of the side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from anatomaly.evaluation.baselines.ssim_ae import dissimilarity
from anatomaly.evaluation.benchmark.method import MethodCard, Trainer
from anatomaly.evaluation.benchmark.networks import make_feature_autoencoder
from anatomaly.evaluation.benchmark.own_features import first_features, load_extractor
from anatomaly.evaluation.benchmark.slices import Slices, cut_slices
from anatomaly.evaluation.benchmark.slicewise import SlicewiseMethod
from anatomaly.volume import PreparedImage

CHANNELS = 32


class FeatureAutoencoder(SlicewiseMethod):
    """Autoencoder of the channels of a frozen extractor."""

    mean: Tensor
    spread: Tensor

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.network = make_feature_autoencoder(seed, CHANNELS)
        self.register_buffer("mean", torch.zeros(1, CHANNELS, 1, 1))
        self.register_buffer("spread", torch.ones(1, CHANNELS, 1, 1))
        self._frozen = (load_extractor(),)  # a tuple: no part of what is trained and counted

    def fit(self, healthy: Sequence[PreparedImage], trainer: Trainer) -> None:
        """Measure mean and spread of each channel, then train."""
        raw = [first_features(self._frozen[0], prepared) for prepared in healthy]
        inside = [cut_slices(prepared).mask[:, 0] > 0 for prepared in healthy]
        values = torch.cat([f.permute(0, 2, 3, 1)[m] for f, m in zip(raw, inside, strict=True)])
        self.mean = values.mean(0).view(1, -1, 1, 1)
        self.spread = values.std(0).clamp_min(1e-3).view(1, -1, 1, 1)
        super().fit(healthy, trainer)

    def cut(self, prepared: PreparedImage) -> Slices:
        """Return features in [0, 1], (K, 32, I, J), 0 outside the brain."""
        mask = cut_slices(prepared).mask
        features = first_features(self._frozen[0], prepared)
        squeezed = torch.sigmoid((features - self.mean.cpu()) / self.spread.cpu())
        return Slices(squeezed * mask, mask)

    def losses(self, image: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """1 − SSIM of the features inside the brain."""
        return {"ssim": (self._gap(image, mask) * mask).sum() / mask.sum().clamp_min(1)}

    def score_slices(self, image: Tensor, mask: Tensor) -> Tensor:
        """1 − SSIM, mean over channels."""
        return self._gap(image, mask)

    def _gap(self, features: Tensor, mask: Tensor) -> Tensor:
        rebuilt = torch.sigmoid(self.network(features)) * mask
        return dissimilarity(rebuilt, features).mean(1, keepdim=True)


METHOD = MethodCard(
    title="FAE-style",
    source="Meissen et al. 2022, arXiv:2208.10992",
    differs="features of our own extractor's first layer in the place of ImageNet's, 2 mm",
    build=lambda sequence, seed: FeatureAutoencoder(seed),
)
