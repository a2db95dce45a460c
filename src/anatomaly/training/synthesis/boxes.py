"""Parts of a grid: what touches a small part of a brain is computed there alone.

Every function here gives, to the last bit, what the same step on the whole grid would.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anatomaly.training.synthesis.random_draws import Box, blur_radius, gaussian_blur

Sigma = tuple[float, float, float]


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


def grow(box: Box, by: tuple[int, int, int], shape: torch.Size) -> Box:
    """Return the box with `by` more voxels on each side, as far as the grid goes.

    >>> grow((slice(1, 3), slice(2, 3), slice(4, 6)), (2, 1, 9), torch.Size((5, 6, 7)))
    (slice(0, 5, None), slice(1, 4, None), slice(0, 7, None))
    """
    i, j, k = (
        slice(max(0, part.start - more), min(n, part.stop + more))
        for part, more, n in zip(box, by, shape, strict=True)
    )
    return i, j, k


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


def reach_of(sigma: Sigma) -> tuple[int, int, int]:
    """Voxels that a blur looks at on each side of each axis."""
    i, j, k = (blur_radius(s) for s in sigma)
    return i, j, k


def blurred_part(image: Tensor, sigma: Sigma, box: Box) -> Tensor:
    """Return the part of a blurred image (I, J, K; bool counts as 0 and 1), blurring no more."""
    outer = grow(box, reach_of(sigma), image.shape)
    return gaussian_blur(image[outer].float(), sigma)[seen_from(box, outer)]


def blur_within(image: Tensor, sigma: Sigma, box: Box) -> tuple[Tensor, Box]:
    """Blur an image that is 0 outside a box.

    Returns:
        The part of the blurred image that is not 0, and where it lies.
    """
    wide = grow(box, reach_of(sigma), image.shape)
    return gaussian_blur(image[wide].float(), sigma), wide
