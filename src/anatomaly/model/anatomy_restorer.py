"""R_E: from edges alone to the tissue of a healthy brain.

The restorer never sees an intensity: abnormal voxels have no way in but through the outline that
they leave among the edges, and it is trained with false outlines whose answer is healthy.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922 (edge-to-image restoration module). What
differs: the place in the template is given, and the tissue shares that healthy people have there
are spread between the edges first, so that each region starts from what usually fills it; and the
answer is tissue, which the encoder turns into the anatomical code as it does for any tissue map: a
code of its own would be another language than the one that the combiner learnt.
"""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anatomaly.model.anatomy_edges import EDGE_CHANNELS, edge_mask
from anatomaly.model.one_hot import LEVELS
from anatomaly.model.template_context import TemplateContext
from anatomaly.model.unet import PointwiseConv3d, Refinement, UNet3d
from anatomaly.types import EdgeKind

SPREAD_STEPS = 20
"""Rounds of averaging between the edges: shares travel about 6 mm."""


def spread_shares(edges: Tensor, shares: Tensor, steps: int = SPREAD_STEPS) -> Tensor:
    """Average tissue shares over neighbours again and again, but never across an edge.

    Args:
        edges: (B, 1, I, J, K) in {0, 1}.
        shares: (B or 1, 3, I/2, J/2, K/2) of `TemplateContext`.
        steps: rounds of averaging over a voxel and its six neighbours.

    Returns:
        (B, 3, I, J, K) in [0, 1]; edge voxels hold the mean of their open neighbours.
    """
    start = F.interpolate(shares.float(), scale_factor=2, mode="nearest")
    start = start.expand(len(edges), -1, -1, -1, -1)
    is_open = 1 - edges.float()
    weight = 1 / _cross_sum(is_open, torch.empty_like(is_open)).clamp(min=1.0)
    open_weight = weight * is_open
    spread = start * is_open
    total = torch.empty_like(spread)
    for _ in range(steps - 1):
        total, spread = spread, _cross_sum(spread, total).mul_(open_weight)
    return _cross_sum(spread, total) * weight


SLAB = 4
"""Layers that are summed at a time on a CPU: they stay in its cache, which is twice as fast."""


def _cross_sum(values: Tensor, total: Tensor) -> Tensor:
    """Write the sum of each voxel and its six neighbours, nothing outside, into `total`."""
    channels, layers = values.shape[1:3]
    width, slab = (1, SLAB) if values.device.type == "cpu" else (channels, layers)
    for channel, first in product(range(0, channels, width), range(0, layers, slab)):
        last = min(layers, first + slab)
        below, above = max(first, 1), min(last, layers - 1)
        some = slice(channel, channel + width)
        here, into = values[:, some, first:last], total[:, some, first:last]
        into.copy_(here)
        into[:, :, below - first :].add_(values[:, some, below - 1 : last - 1])
        into[:, :, : above - first].add_(values[:, some, first + 1 : above + 1])
        for axis in (3, 4):
            n = values.shape[axis] - 1
            into.narrow(axis, 1, n).add_(here.narrow(axis, 0, n))
            into.narrow(axis, 0, n).add_(here.narrow(axis, 1, n))
    return total


FINE_CHANNELS = 12
"""Width of the full-resolution layers, where a sulcus is one or two voxels wide."""


class AnatomyRestorer(nn.Module):
    """From edges to healthy tissue: full-resolution layers around a U-Net.

    The first layers read each edge at full resolution and hand four channels to the U-Net, which
    knows the neighbourhood; the last ones join what both say, voxel by voxel.

    Args:
        kind: of the edges: `canny`, the paper's, or `oriented` (`anatomy_edges`).
        channels: widths of the U-Net's levels.
    """

    def __init__(
        self, kind: EdgeKind = "canny", channels: tuple[int, ...] = (24, 48, 96, 128)
    ) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            nn.Conv3d(EDGE_CHANNELS[kind] + 3, FINE_CHANNELS, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv3d(FINE_CHANNELS, FINE_CHANNELS, 3, padding=1),
            nn.LeakyReLU(0.1, inplace=True),
        )
        self.reduce = PointwiseConv3d(FINE_CHANNELS, 4)
        self.unet = UNet3d(4, len(LEVELS), channels, context=TemplateContext.channels)
        self.refinement = Refinement(len(LEVELS) + FINE_CHANNELS, len(LEVELS))

    def forward(self, edges: Tensor, context: Tensor) -> Tensor:
        """(B, 1 or 3, I, J, K) edges to tissue shares (B, 4, I, J, K) that sum to 1."""
        return torch.softmax(self.logits(edges, context).float(), dim=1)

    def logits(self, edges: Tensor, context: Tensor) -> Tensor:
        """Logits of background, CSF, grey and white matter, (B, 4, I, J, K)."""
        with torch.no_grad(), torch.autocast(edges.device.type, enabled=False):
            spread = spread_shares(edge_mask(edges), context[:, 3:])
        seen = torch.cat([edges, spread], dim=1)
        fine: Tensor = self.fine(seen.contiguous(memory_format=torch.channels_last_3d))
        coarse: Tensor = self.unet(self.reduce(fine), context)
        correction: Tensor = self.refinement(coarse, fine)
        return coarse + correction
