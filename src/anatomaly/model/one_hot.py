"""The differentiable one-hot operator: a continuous anatomical image becomes four tissue classes.

Forward it is a hard choice, backward the gradient of a soft one passes (straight-through), so
every voxel always has exactly one class.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922 (the constants .29, .48, .72, which can
be read as class centres or as cuts: both are here); straight-through estimator, Bengio et al.
2013, arXiv:1308.3432.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS: tuple[float, float, float, float] = (0.0, 0.29, 0.48, 0.72)
"""Class centres of background, CSF, grey and white matter (reading a)."""

CUTS: tuple[float, float, float] = (0.29, 0.48, 0.72)
"""Cuts between the four classes (reading b)."""


def one_hot_levels(
    anatomical_image: Tensor, levels: tuple[float, ...] = LEVELS, temperature: float = 0.01
) -> Tensor:
    """Give each voxel the class whose centre is nearest.

    Args:
        anatomical_image: (B, 1, I, J, K) in [0, 1].
        levels: increasing class centres.
        temperature: of the soft choice softmax(−(a − c)² / temperature) behind the gradient.

    Returns:
        (B, len(levels), I, J, K), exactly one 1 per voxel.

    >>> one_hot_levels(torch.full((1, 1, 1, 1, 1), 0.5)).flatten().tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    centres = torch.tensor(levels, device=anatomical_image.device).view(1, -1, 1, 1, 1)
    soft = torch.softmax(-((anatomical_image.float() - centres) ** 2) / temperature, dim=1)
    return straight_through(soft)


def one_hot_cuts(
    anatomical_image: Tensor, cuts: tuple[float, ...] = CUTS, temperature: float = 0.05
) -> Tensor:
    """Give each voxel the bin between the cuts that it falls into.

    The soft choice is a product of sigmoids around the cuts.

    >>> one_hot_cuts(torch.full((1, 1, 1, 1, 1), 0.5)).flatten().tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    edges = torch.tensor(cuts, device=anatomical_image.device).view(1, -1, 1, 1, 1)
    above = torch.sigmoid((anatomical_image.float() - edges) / temperature)
    ones = torch.ones_like(above[:, :1])
    upper = torch.cat([ones, above], dim=1)
    soft = upper - torch.cat([above, torch.zeros_like(ones)], dim=1)
    index = (anatomical_image >= edges).sum(dim=1, keepdim=True)
    hard = torch.zeros_like(soft).scatter_(1, index, 1.0)
    return hard + (soft - soft.detach()) if soft.requires_grad else hard


def straight_through(soft: Tensor) -> Tensor:
    """Return the one-hot of the largest channel with the gradient of the soft values."""
    largest = largest_channel(soft.detach()).unsqueeze(1)
    hard = torch.cat([largest == kind for kind in range(soft.shape[1])], dim=1).to(soft.dtype)
    return hard + (soft - soft.detach()) if soft.requires_grad else hard


def largest_channel(shares: Tensor) -> Tensor:
    """Return the number of the largest channel, (B, I, J, K) uint8; the first of equal ones.

    `argmax` over few channels takes ten times as long.

    >>> largest_channel(torch.tensor([[0.2, 0.5, 0.5]]).view(1, 3, 1, 1, 1)).item()
    1
    """
    best, largest = shares[:, 0], torch.zeros_like(shares[:, 0], dtype=torch.uint8)
    for kind in range(1, shares.shape[1]):
        larger = shares[:, kind] > best
        best = torch.maximum(best, shares[:, kind])
        largest = torch.where(larger, kind, largest)
    return largest
