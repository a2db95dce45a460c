"""Say how well a prepared brain fits the template, whatever the sequence."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from anatomaly.preprocess.template import load_template
from anatomaly.types import BoolArray, FloatArray


def mask_dice(first: BoolArray, second: BoolArray) -> float:
    """Return the Dice overlap 2|A∩B| / (|A|+|B|) of two masks of one shape, 0 to 1.

    >>> mask_dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 0.0


def tissue_correlation(image: FloatArray, brain_mask: BoolArray, step: int = 2) -> float:
    """Return how much of the image the template's tissues explain (multiple correlation).

    The image is fitted, by least squares inside the mask, as a mixture of the template's grey
    matter, white matter and T1w brightness; the correlation between fit and image is 0 to 1 and
    does not care whether CSF is dark (T1w, FLAIR) or bright (T2w).

    Args:
        image: (I, J, K) on the working grid, any unit.
        brain_mask: (I, J, K) bool, where to compare.
        step: every how many voxels along each axis.
    """
    sparse = (slice(None, None, step),) * 3
    inside = brain_mask[sparse]
    values = image[sparse][inside].astype(np.float64)
    if values.size < 100:
        return 0.0
    low, high = np.percentile(values, (1.0, 99.0))
    values = np.clip(values, low, high)
    values -= values.mean()
    total = float(values @ values)
    if total <= 0:
        return 0.0
    tissues = np.stack([tissue[inside] for tissue in _sparse_tissues(step)], axis=1)
    tissues -= tissues.mean(axis=0)
    weights, *_ = np.linalg.lstsq(tissues, values, rcond=None)
    left = values - tissues @ weights
    return float(np.sqrt(max(0.0, 1.0 - float(left @ left) / total)))


@lru_cache(maxsize=4)
def _sparse_tissues(step: int) -> tuple[FloatArray, ...]:
    """Return the template's tissue maps, thinned out."""
    template = load_template()
    sparse = (slice(None, None, step),) * 3
    maps = (template.grey_matter.data, template.white_matter.data, template.brain.data)
    return tuple(data[sparse].astype(np.float64) for data in maps)
