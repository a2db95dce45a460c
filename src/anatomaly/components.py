"""Pieces of a mask: what counts as a finding, and which number it has.

The table, the page, the overview, the DICOM objects and the BIDS files all take their numbers from
`number_lesions`, so that they cannot disagree on which lesion is the first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.types import BoolArray


def number_lesions(anomaly_mask: NDArray[Any]) -> NDArray[np.int32]:
    """Give every voxel the number of its lesion.

    Args:
        anomaly_mask: (I, J, K), above zero where abnormal.

    Returns:
        (I, J, K): 0 outside, 1 in the largest component (26 neighbours), 2 in the next; equal ones
        in order of their first voxel.

    >>> number_lesions(np.array([[[1, 0, 1, 1, 0, 1]]])).tolist()
    [[[2, 0, 1, 1, 0, 3]]]
    """
    inside = anomaly_mask > 0
    numbered = np.zeros(inside.shape, np.int32)
    for box in ndimage.find_objects(inside.astype(np.uint8)):  # one, around all of them
        labels, voxels = _label(inside[box])
        numbers = np.zeros(len(voxels), np.int32)
        numbers[1 + np.argsort(-voxels[1:], kind="stable")] = np.arange(1, len(voxels))
        numbered[box] = numbers[labels]
    return numbered


def as_label_volume(numbered: NDArray[np.int32]) -> NDArray[Any]:
    """Return numbered lesions in the type that files hold: uint16, uint32 for more than 65,535.

    >>> [str(as_label_volume(np.array([[[most]]])).dtype) for most in (0, 65_535, 65_536)]
    ['uint16', 'uint16', 'uint32']
    """
    most = int(numbered.max(initial=0))
    return numbered.astype(np.uint16 if most <= np.iinfo(np.uint16).max else np.uint32)


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
    labels, voxels = _label(passes)
    seeded = np.zeros(len(voxels), dtype=bool)
    seeded[labels[seeds]] = True
    seeded[0] = False
    result: BoolArray = (seeded & (voxels * voxel_volume_mm3 >= least_mm3))[labels]
    return result


def _label(mask: BoolArray) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the label of each voxel (26 neighbours) and how many voxels each label has."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return labels, np.bincount(labels.ravel(), minlength=count + 1)
