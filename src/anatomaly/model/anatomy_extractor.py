"""E_A: from an image of any sequence to an anatomical image and its one-hot tissue map.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922. What differs: the network predicts four
tissue logits and the anatomical image is their sharpened expectation over the class centres, so
that a boundary between white matter and CSF does not pass through grey matter; and it may look up
where in the template a voxel lies and how far its intensity is from that of each tissue, so that it
need not find out the contrast by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anatomaly.model.one_hot import LEVELS, one_hot_levels
from anatomaly.model.template_context import TemplateContext
from anatomaly.model.unet import Refinement, UNet3d

SHARPNESS = 4.0

SURE_PLACES = (1000, 12_000, 16_000)
"""Places of 2×2×2 mm that speak for CSF, grey and white matter."""


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

    @property
    def shares(self) -> Tensor:
        """Tissue shares softmax(logits), (B, 4, I, J, K), before the one-hot operator."""
        return torch.softmax(self.logits.float(), dim=1)


def tissue_means(image: Tensor, context: Tensor) -> Tensor:
    """Estimate what CSF, grey and white matter look like, before anything is segmented.

    The median intensity at the places where healthy people have most of that tissue.

    Args:
        image: (B, 1, I, J, K) in [0, 1], 0 outside the brain, the whole working grid.
        context: (1, 6, I/2, J/2, K/2) of `TemplateContext`.

    Returns:
        (B, 3).
    """
    pooled = F.avg_pool3d(image.float(), 2).flatten(1)
    shares = context[0, 3:].flatten(1)
    found = []
    for values in pooled:
        brain = values > 0
        medians = []
        for share, places in zip(shares, SURE_PLACES, strict=True):
            ranked = torch.where(brain, share, -1.0).topk(min(places, len(values))).indices
            medians.append(values[ranked].median())
        found.append(torch.stack(medians))
    return torch.stack(found)


class AnatomyExtractor(nn.Module):
    """3D U-Net and differentiable one-hot operator.

    Args:
        channels: widths of the U-Net's levels.
    """

    def __init__(self, channels: tuple[int, ...] = (32, 48, 96, 128)) -> None:
        super().__init__()
        self.unet = UNet3d(1, len(LEVELS), channels, context=TemplateContext.channels + 3)
        self.refinement = Refinement(len(LEVELS) + 4, len(LEVELS))

    def forward(self, image: Tensor, context: Tensor, means: Tensor) -> Anatomy:
        """Extract anatomy.

        Args:
            image: (B, 1, I, J, K) in [0, 1].
            context: (B or 1, 6, I/2, J/2, K/2) of `TemplateContext`.
            means: (B, 3) of `tissue_means`.
        """
        logits = self.logits(image, context, means)
        anatomical_image = self.anatomical_image(logits)
        return Anatomy(anatomical_image, one_hot_levels(anatomical_image), logits)

    def logits(self, image: Tensor, context: Tensor, means: Tensor) -> Tensor:
        """Tissue logits (B, 4, I, J, K); arguments as in `forward`."""
        difference = image - means.view(-1, 3, 1, 1, 1)
        context = context.expand(len(image), -1, -1, -1, -1)
        coarse: Tensor = self.unet(image, torch.cat([context, F.avg_pool3d(difference, 2)], dim=1))
        correction: Tensor = self.refinement(coarse, image, difference)
        return coarse + correction

    @staticmethod
    def anatomical_image(logits: Tensor) -> Tensor:
        """Sharpened expectation of the class centres: (B, 4, …) to (B, 1, …) in [0, .72]."""
        centres = torch.tensor(LEVELS, device=logits.device).view(1, -1, 1, 1, 1)
        return (torch.softmax(SHARPNESS * logits.float(), dim=1) * centres).sum(1, keepdim=True)
