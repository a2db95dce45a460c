"""E_M: how the image was taken, as a short vector without spatial axes.

Each tissue is described by a soft histogram of its intensities and by pooled features; the vector
follows from those. Pooling over a tissue leaves nothing of where a voxel was.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922; the pooling by tissue is ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anatomaly.model.unet import fold

MODALITY_CHANNELS = 16
BINS = 16
_FEATURES = 16


class ModalityExtractor(nn.Module):
    """Intensity histograms and features pooled by tissue, then a small perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(8, 32, 1), nn.LeakyReLU(0.1), nn.Conv3d(32, _FEATURES, 1), nn.LeakyReLU(0.1)
        )
        self.head = nn.Sequential(
            nn.Linear(3 * (BINS + _FEATURES), 128),
            nn.LeakyReLU(0.1),
            nn.Linear(128, 64),
            nn.LeakyReLU(0.1),
            nn.Linear(64, MODALITY_CHANNELS),
        )

    def forward(self, image: Tensor, tissue_map: Tensor) -> Tensor:
        """Extract the modality code.

        Args:
            image: (B, 1, I, J, K) in [0, 1].
            tissue_map: (B, 4, I, J, K) one-hot, background first.

        Returns:
            (B, 16), unbounded.
        """
        share = F.avg_pool3d(tissue_map[:, 1:].float(), 2)  # (B, 3, I/2, J/2, K/2)
        values = fold(image.float())  # (B, 8, I/2, J/2, K/2)
        mean = values.mean(1, keepdim=True)
        centres = torch.linspace(0, 1, BINS, device=image.device).view(1, -1, 1, 1, 1)
        histogram = torch.exp(-0.5 * ((mean - centres) * BINS) ** 2)
        pooled = torch.cat(
            [_pool(histogram, share), _pool(self.features(values).float(), share)], dim=2
        )
        code: Tensor = self.head(pooled.flatten(1))
        return code


def _pool(features: Tensor, share: Tensor) -> Tensor:
    """Mean of features (B, F, …) over each tissue share (B, 3, …): (B, 3, F).

    Voxels that lie wholly in one tissue count most (share to the fourth power).
    """
    weight = share.pow(4).flatten(2)
    total = weight.sum(2, keepdim=True) + 1.0
    with torch.autocast(features.device.type, enabled=False):
        return torch.bmm(weight, features.float().flatten(2).transpose(1, 2)) / total
