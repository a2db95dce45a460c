"""R_E: from edges alone to the anatomical code of a healthy brain.

The restorer never sees an intensity: abnormal voxels have no way in but through the outline that
they leave among the edges, and it is trained with false outlines whose answer is healthy.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922 (edge-to-image restoration module). What
differs: the place in the template, with the tissue shares of healthy people there, is given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anatomaly.model.anatomy_encoder import CODE_CHANNELS
from anatomaly.model.template_context import TemplateContext
from anatomaly.model.unet import UNet3d


class AnatomyRestorer(nn.Module):
    """U-Net from edges to the anatomical code."""

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.unet = UNet3d(1, CODE_CHANNELS, channels, context=TemplateContext.channels)

    def forward(self, edges: Tensor, context: Tensor) -> Tensor:
        """(B, 1, I, J, K) edges to an anatomical code (B, 8, I, J, K), channels sum to 1."""
        return torch.softmax(self.logits(edges, context).float(), dim=1)

    def logits(self, edges: Tensor, context: Tensor) -> Tensor:
        """Logits of the code, (B, 8, I, J, K)."""
        out: Tensor = self.unet(edges, context)
        return out
