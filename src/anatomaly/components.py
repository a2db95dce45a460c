"""Pieces of a mask: what counts as a finding, for the program and for the pictures of its pages."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from anatomaly.types import BoolArray


def keep_seeded(
    passes: BoolArray, seeds: BoolArray, voxel_volume_mm3: float, least_mm3: float
) -> BoolArray:
    """Keep the components (26 neighbours) that hold a seed and are large enough.

    Args:
        passes: (I, J, K), voxels that a component may consist of.
        seeds: (I, J, K), voxels of which a component needs one; they pass too.
        voxel_volume_mm3: volume of a voxel.
        least_mm3: components smaller than this are dropped.

    Returns:
        (I, J, K) bool.

    Source: hysteresis of Canny 1986, doi:10.1109/TPAMI.1986.4767851.

    >>> passes, seeds = np.array([[[1, 1, 0, 1]]]) > 0, np.array([[[0, 1, 0, 0]]]) > 0
    >>> keep_seeded(passes, seeds, 1.0, 2.0).tolist()
    [[[True, True, False, False]]]
    """
    labels, count = ndimage.label(passes, structure=np.ones((3, 3, 3)))
    keep = np.bincount(labels.ravel(), minlength=count + 1) * voxel_volume_mm3 >= least_mm3
    seeded = np.zeros(count + 1, dtype=bool)
    seeded[labels[seeds]] = True
    keep &= seeded
    keep[0] = False
    kept: BoolArray = keep[labels]
    return kept
