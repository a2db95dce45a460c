"""E_A: from an image of any sequence to an anatomical image and its one-hot tissue map.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922. What differs: the network predicts four
tissue logits and the anatomical image is their sharpened expectation over the class centres, so
that a boundary between white matter and CSF does not pass through grey matter; and it may look up
where in the template a voxel lies.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from anatomaly.model.one_hot import LEVELS, one_hot_levels
from anatomaly.model.template_context import TemplateContext
from anatomaly.model.unet import UNet3d

SHARPNESS = 4.0


class Anatomy(NamedTuple):
    """What E_A says about an image.

    Attributes:
        anatomical_image: (B, 1, I, J, K) in [0, .72], T1-like, the same for every sequence.
        tissue_map: (B, 4, I, J, K) one-hot: background, CSF, grey matter, white matter.
        logits: (B, 4, I, J, K), unbounded; what the losses see.
    """

    anatomical_image: Tensor
    tissue_map: Tensor
    logits: Tensor


class AnatomyExtractor(nn.Module):
    """3D U-Net and differentiable one-hot operator.

    Args:
        channels: widths of the U-Net's levels.
    """

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.unet = UNet3d(1, len(LEVELS), channels, context=TemplateContext.channels)

    def forward(self, image: Tensor, context: Tensor) -> Anatomy:
        """Extract anatomy.

        Args:
            image: (B, 1, I, J, K) in [0, 1].
            context: (B or 1, 6, I/2, J/2, K/2) of `TemplateContext`.
        """
        logits = self.unet(image, context)
        anatomical_image = self.anatomical_image(logits)
        return Anatomy(anatomical_image, one_hot_levels(anatomical_image), logits)

    @staticmethod
    def anatomical_image(logits: Tensor) -> Tensor:
        """Sharpened expectation of the class centres: (B, 4, …) to (B, 1, …) in [0, .72]."""
        centres = torch.tensor(LEVELS, device=logits.device).view(1, -1, 1, 1, 1)
        return (torch.softmax(SHARPNESS * logits.float(), dim=1) * centres).sum(1, keepdim=True)
