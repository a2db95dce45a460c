"""Where in the template a voxel lies: coordinates and the healthy tissue shares of that place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anatomaly.geometry import TEMPLATE_SHAPE

PRIOR_STEP = 4
"""Voxels between the stored tissue shares."""


class TemplateContext(nn.Module):
    """Six channels at half resolution: coordinates in [−1, 1] and shares of CSF, GM and WM.

    The shares are a buffer, (1, 3, 40, 48, 40), estimated on healthy training anatomies and kept
    with the weights.
    """

    channels = 6

    def __init__(self) -> None:
        super().__init__()
        shape = [n // PRIOR_STEP for n in TEMPLATE_SHAPE]
        self.register_buffer("tissue_share", torch.zeros(1, 3, *shape))
        self.tissue_share: Tensor

    def forward(
        self, start: Tensor | None = None, size: tuple[int, int, int] = TEMPLATE_SHAPE
    ) -> Tensor:
        """Return the context of patches.

        Args:
            start: (B, 3) first template voxel of each patch, even numbers; None for the origin.
            size: (I, J, K) of a patch at full resolution, even numbers.

        Returns:
            (B, 6, I/2, J/2, K/2).
        """
        half = tuple(n // 2 for n in TEMPLATE_SHAPE)
        shares = F.interpolate(self.tissue_share, half, mode="trilinear", align_corners=False)[0]
        axes = [torch.linspace(-1, 1, n, device=shares.device) for n in half]
        whole = torch.cat([torch.stack(torch.meshgrid(*axes, indexing="ij")), shares])
        if start is None:
            start = torch.zeros(1, 3, dtype=torch.long)
        i, j, k = (n // 2 for n in size)
        patches = [whole[:, a : a + i, b : b + j, c : c + k] for a, b, c in (start // 2).tolist()]
        return torch.stack(patches)
