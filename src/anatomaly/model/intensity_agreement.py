"""Intensity agreement: bring the pseudo-healthy image to the scan's own tissue intensities.

The combiner knows the contrast from a short vector alone, and an error of a tenth in the grey of
the ventricles looks like a lesion of their size. The scan says how bright each tissue is; what does
not fit the rest of its tissue must not have a say, for it may be the lesion. So: a robust fit,
closed-form in each round, of scan minus pseudo-healthy image by one offset for each channel of the
restored code, for the whole brain first, then smoothly varying over it.

Source: iteratively reweighted least squares with Tukey's biweight (Beaton and Tukey 1974,
doi:10.1080/00401706.1974.10489171).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from anatomaly.errors import GeometryError
from anatomaly.model.anatomy_edges import smooth

TUKEY = 2.5
"""Residuals beyond so many robust standard deviations count for nothing. Tight: a large lesion in a
FLAIR scan lies four of them away from its tissue."""

ROUNDS = 8
CELL = 4
"""Offsets vary on cells of so many places of 2 mm."""

REACH = 3.5
"""σ of the neighbourhood that an offset is fitted in, cells."""

RIDGE = 30.0
"""Weight of 'no offset' for the whole brain, in places of 2 mm."""

LOCAL_RIDGE = 300.0
"""Weight of 'no further offset' in a neighbourhood, in places of 2 mm."""


def fit_intensities(
    image: Tensor, pseudo_healthy: Tensor, code: Tensor, brain_mask: Tensor
) -> Tensor:
    """Return the pseudo-healthy image with the scan's tissue intensities.

    Args:
        image: (1, 1, I, J, K) in [0, 1], 0 outside the brain; sides multiples of 8.
        pseudo_healthy: the same shape and range.
        code: (1, C, I, J, K), shares of the restored tissues, summing to 1.
        brain_mask: (1, 1, I, J, K), 1 inside.

    Returns:
        (1, 1, I, J, K) in [0, 1], 0 outside the brain.

    Raises:
        GeometryError: a side is no multiple of 8.
    """
    if any(n % (2 * CELL) for n in image.shape[2:]):
        raise GeometryError(f"sides of {tuple(image.shape)} must be multiples of {2 * CELL}")
    mask = brain_mask.float()
    inside = (F.avg_pool3d(mask, 2) == 1).float()
    shares = F.avg_pool3d(code.float(), 2)
    gap = F.avg_pool3d(image.float() - pseudo_healthy.float(), 2)
    offset, weight = _global_offsets(gap, shares, inside)
    left = gap - (shares * offset.view(1, -1, 1, 1, 1)).sum(1, keepdim=True)
    field = offset.view(1, -1, 1, 1, 1) + _local_offsets(left, shares, weight)
    field = F.interpolate(field, size=image.shape[2:], mode="trilinear", align_corners=False)
    moved = pseudo_healthy + (code.float() * field).sum(1, keepdim=True)
    return moved.clamp(0, 1) * mask


def _global_offsets(gap: Tensor, shares: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """One offset a channel, (C,), and the weight (1, 1, …) that each place ends with."""
    chosen = inside.flatten() > 0
    rows, target = shares[0].flatten(1).T[chosen], gap.flatten()[chosen]
    ridge = RIDGE * torch.eye(rows.shape[1], device=rows.device)
    weight = torch.ones_like(target)
    for _ in range(ROUNDS):
        weighted = rows * weight[:, None]
        offset = torch.linalg.solve(weighted.T @ rows + ridge, weighted.T @ target)
        left = target - rows @ offset
        spread = 1.4826 * left.abs().median().clamp(min=1e-3)
        weight = (1 - (left / (TUKEY * spread)).square()).clamp(min=0).square()
    places = torch.zeros_like(gap).flatten()
    places[chosen] = weight
    return offset, places.view_as(gap)


def _local_offsets(left: Tensor, shares: Tensor, weight: Tensor) -> Tensor:
    """Further offset of each channel on a grid of cells, (1, C, I/8, J/8, K/8).

    The weights stay those of the whole brain: what is no lesion there has a say here.
    """
    channels = shares.shape[1]
    first, second = torch.triu_indices(channels, channels, device=shares.device)
    products = shares[:, first] * shares[:, second] * weight
    cells = F.avg_pool3d(torch.cat([products, shares * left * weight], 1), CELL)
    sums = smooth(cells.transpose(0, 1), REACH).flatten(1).T
    normal = torch.zeros(len(sums), channels, channels, device=sums.device)
    normal[:, first, second] = sums[:, : len(first)]
    normal[:, second, first] = sums[:, : len(first)]
    ridge = LOCAL_RIDGE / CELL**3 / (2 * torch.pi * REACH**2) ** 1.5
    normal += ridge * torch.eye(channels, device=sums.device)
    offset = torch.linalg.solve(normal, sums[:, len(first) :])
    cells_shape = [n // CELL for n in left.shape[2:]]
    field: Tensor = offset.T.reshape(1, channels, *cells_shape)
    return field
