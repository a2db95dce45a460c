"""The anatomical code of a healthy tissue map: the target that the restorer learns to reach."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anatomaly.model.template_context import TemplateContext
from anatomaly.model.unet import UNet3d

CODE_CHANNELS = 8

TISSUE_LOGIT = 3.0
"""Head start of a voxel's own tissue: untrained, the code is nearly the tissue map itself."""


class AnatomyEncoder(nn.Module):
    """Small U-Net from a one-hot tissue map to soft memberships of eight learned fine tissues."""

    def __init__(self, channels: tuple[int, ...] = (16, 32, 48)) -> None:
        super().__init__()
        self.unet = UNet3d(4, CODE_CHANNELS, channels, context=TemplateContext.channels)

    def forward(self, tissue_map: Tensor, context: Tensor) -> Tensor:
        """(B, 4, I, J, K) one-hot to an anatomical code (B, 8, I, J, K), channels sum to 1."""
        return torch.softmax(self.logits(tissue_map, context), dim=1)

    def logits(self, tissue_map: Tensor, context: Tensor) -> Tensor:
        """Logits of the code, (B, 8, I, J, K)."""
        tissue = torch.nn.functional.pad(tissue_map, (0,) * 7 + (CODE_CHANNELS - 4,))
        out: Tensor = self.unet(tissue_map, context).float() + TISSUE_LOGIT * tissue
        return out
