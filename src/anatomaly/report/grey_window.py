"""Which intensities of a scan are drawn black and white."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (0.5, 99.7)

MOST_AWAY = 8.0
"""Distances of the 10th from the 90th percentile, beyond either, that no sound voxel lies away."""


def grey_window(inside: NDArray[Any]) -> tuple[float, float]:
    """Return the 0.5th and 99.7th percentile of a brain, spikes left out; never of no width.

    Args:
        inside: intensities inside the brain, any shape, at least one.

    >>> brain = np.append(np.linspace(50, 150, 1000), [60000.0] * 20)
    >>> [round(value) for value in grey_window(brain)]
    [50, 150]
    """
    low, high = (float(value) for value in np.percentile(inside, (10, 90)))
    away = MOST_AWAY * (high - low)
    sound = inside[(inside >= low - away) & (inside <= high + away)]
    black, white = (float(value) for value in np.percentile(sound, PERCENTILES))
    return black, max(white, black + 1e-6)
