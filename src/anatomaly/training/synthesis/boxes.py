"""Parts of a grid: what touches a small part of a brain is computed there alone.

Every function here gives, to the last bit, what the same step on the whole grid would.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from anatomaly.training.synthesis.random_draws import Box, blur_radius, gaussian_blur

SOFT = 0.8
"""σ of borders between tissues, voxels."""


def extent(mask: Tensor) -> Box:
    """Return the smallest box around the true voxels of (I, J, K); the first voxel if none is.

    >>> mask = torch.zeros(5, 6, 7, dtype=torch.bool)
    >>> mask[1:3, 2, 4:6] = True
    >>> extent(mask)
    (slice(1, 3, None), slice(2, 3, None), slice(4, 6, None))
    """
    last = mask.any(0)
    spans = [mask.flatten(1).any(1), last.any(1), last.any(0)]
    ends = []
    for span in spans:
        shown = span.nonzero()[:, 0]
        if not len(shown):
            return (slice(0, 1),) * 3
        first, end = shown[[0, -1]].tolist()
        ends.append(slice(first, end + 1))
    return ends[0], ends[1], ends[2]


def box_between(low: Iterable[float], high: Iterable[float], shape: torch.Size) -> Box:
    """Return the box from `low` to `high`, fractions cut off, of one voxel of the grid at least.

    >>> box_between((-2.5, 1.2, 9), (2.7, 3, 12), torch.Size((5, 6, 7)))
    (slice(0, 2, None), slice(1, 3, None), slice(6, 7, None))
    """
    i, j, k = (
        slice(int(min(max(0.0, a), n - 1)), int(max(min(n, b), 1)))
        for a, b, n in zip(low, high, shape, strict=True)
    )
    return i, j, k


def grow(box: Box, by: int, shape: torch.Size) -> Box:
    """Return the box with `by` more voxels on each side, as far as the grid goes.

    >>> grow((slice(1, 3), slice(2, 3), slice(4, 6)), 2, torch.Size((5, 6, 7)))
    (slice(0, 5, None), slice(0, 5, None), slice(2, 7, None))
    """
    return box_between([b.start - by for b in box], [b.stop + by for b in box], shape)


def seen_from(box: Box, outer: Box) -> Box:
    """Return a box in the voxels of a box around it."""
    i, j, k = (
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(box, outer, strict=True)
    )
    return i, j, k


def put_back(part: Tensor, box: Box, shape: torch.Size) -> Tensor:
    """Lay a part into a grid of zeros, (I, J, K)."""
    whole = torch.zeros(shape, dtype=part.dtype, device=part.device)
    whole[box] = part
    return whole


def blurred_part(image: Tensor, sigma: float, box: Box) -> Tensor:
    """Return the part of a blurred image (I, J, K; bool counts as 0 and 1), blurring no more."""
    outer = grow(box, blur_radius(sigma), image.shape)
    return gaussian_blur(image[outer].float(), sigma)[seen_from(box, outer)]


def blur_within(image: Tensor, sigma: float, box: Box) -> tuple[Tensor, Box]:
    """Blur an image that is 0 outside a box; σ in voxels.

    Returns:
        The part of the blurred image that is not 0, and where it lies.
    """
    wide = grow(box, blur_radius(sigma), image.shape)
    return gaussian_blur(image[wide].float(), sigma), wide
