"""Where a click on a finding leads: the voxel of each piece of the mask nearest to its centre."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from anatomaly.geometry import apply_affine
from anatomaly.volume import Volume

Point = tuple[float, float, float]


def find_spots(anomaly_mask: Volume) -> list[Point]:
    """Return a point inside each 26-connected piece, in the order of `lesions.tsv`.

    The centre of mass that the table gives may lie outside a bent piece.

    Args:
        anomaly_mask: (I, J, K), above zero where abnormal.

    Returns:
        Scanner RAS+ mm, the largest piece first; equal ones in order of their first voxel.
    """
    labels, count = ndimage.label(anomaly_mask.data > 0, structure=np.ones((3, 3, 3)))
    if not count:
        return []
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes = ndimage.find_objects(labels)
    spots = []
    for index in np.argsort(-sizes, kind="stable"):
        box = boxes[index]
        voxels = np.argwhere(labels[box] == index + 1) + [part.start for part in box]
        places = apply_affine(anomaly_mask.affine, voxels.astype(np.float64))
        nearest = np.linalg.norm(places - places.mean(axis=0), axis=1).argmin()
        x, y, z = places[nearest].round(2).tolist()
        spots.append((x, y, z))
    return spots
