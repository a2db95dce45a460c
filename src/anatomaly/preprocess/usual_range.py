"""The range that the intensities of a scan usually have, however many voxels lie outside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anatomaly.types import FloatArray
from anatomaly.volume import outer_faces

PERCENTILES = (0.5, 99.5)

BLOCK = 3
"""Voxels along each side of a block; its median stands for it."""

MOST_BLOCKS = 200_000
"""Of a larger scan, blocks are left out at regular steps."""


@dataclass(frozen=True)
class UsualRange:
    """Two intensities between which nearly all of a scan lies.

    Attributes:
        low: scanner units.
        high: same units.
    """

    low: float
    high: float

    @property
    def width(self) -> float:
        """Distance of the two, the measure for what lies outside; 0 in a constant image."""
        return self.high - self.low

    @property
    def floor(self) -> float:
        """Where there is no signal: 0, or the low end of a scan shifted below it (z-scored)."""
        return min(0.0, self.low)


def find_usual_range(data: FloatArray) -> UsualRange:
    """Return the 0.5th and 99.5th percentile of the medians of 3×3×3 blocks, background left out.

    A percentile of the voxels themselves moves with the very spikes that are to be judged by it:
    .2 % of all voxels are 1 % of those in a stripped brain. A block's median stays while less than
    half of the block is spoilt, whether by single voxels, lines or a plane.

    Args:
        data: (I, J, K), finite, any unit. The most frequent value of its outer faces is left out.

    >>> noisy = np.random.default_rng(0).normal(100, 10, (60, 60, 60))
    >>> noisy.ravel()[::50] = 1e6
    >>> find_usual_range(noisy).high < 115
    True
    """
    medians = _block_medians(data)
    there = medians[medians != background_value(data)]
    if not there.size:
        return UsualRange(float(data.min()), float(data.max()))
    low, high = (float(value) for value in np.percentile(there, PERCENTILES))
    return UsualRange(low, high)


def background_value(data: FloatArray) -> float:
    """Return the most frequent value of the six outer faces."""
    values, counts = np.unique(outer_faces(data), return_counts=True)
    return float(values[counts.argmax()])


def _block_medians(data: FloatArray) -> FloatArray:
    """Return the median of each block (or of a regular choice of blocks), shape (N,)."""
    sides = [min(BLOCK, size) for size in data.shape]
    counts = [size // side for size, side in zip(data.shape, sides, strict=True)]
    step = max(1, int(np.ceil((np.prod(counts) / MOST_BLOCKS) ** (1 / 3))))
    whole = data[tuple(slice(n * side) for n, side in zip(counts, sides, strict=True))]
    shape = [length for pair in zip(counts, sides, strict=True) for length in pair]
    blocks = whole.reshape(shape)[::step, :, ::step, :, ::step]
    flat = blocks.transpose(0, 2, 4, 1, 3, 5).reshape(-1, int(np.prod(sides)))
    return np.asarray(np.median(flat, axis=1))
