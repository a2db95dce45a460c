"""R_D: anatomy and modality become an image again.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922; the modulation by the modality code is
FiLM, Perez et al. 2018, doi:10.1609/aaai.v32i1.11671.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anatomaly.model.anatomy_encoder import CODE_CHANNELS
from anatomaly.model.modality_extractor import MODALITY_CHANNELS


class RepresentationCombiner(nn.Module):
    """Two 1³ layers modulated by the modality code and one 3³ layer for the point spread."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Conv3d(CODE_CHANNELS, width, 1)
        self.second = nn.Conv3d(width, width, 1)
        self.last = nn.Conv3d(width, 1, 3, padding=1)
        self.film = nn.Sequential(
            nn.Linear(MODALITY_CHANNELS, 64), nn.LeakyReLU(0.1), nn.Linear(64, 4 * width)
        )
        self.act = nn.LeakyReLU(0.1)

    def forward(self, anatomical_code: Tensor, modality_code: Tensor) -> Tensor:
        """Combine to an image.

        Args:
            anatomical_code: (B, 8, I, J, K), channels sum to 1.
            modality_code: (B, 16).

        Returns:
            (B, 1, I, J, K) in [0, 1].
        """
        scale1, shift1, scale2, shift2 = (
            p.view(p.shape[0], -1, 1, 1, 1) for p in self.film(modality_code).chunk(4, dim=1)
        )
        h = self.act(self.first(anatomical_code) * (1 + scale1) + shift1)
        h = self.act(self.second(h) * (1 + scale2) + shift2)
        return torch.sigmoid(self.last(h).float())
