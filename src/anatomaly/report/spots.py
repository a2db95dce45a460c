"""Where a click on a finding leads, and whether the finding hugs the edge of the brain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.components import number_lesions
from anatomaly.geometry import apply_affine
from anatomaly.volume import Volume

Point = tuple[float, float, float]

RIM_MM = 6.0
"""Cortex and the fluid outside it. A piece that lies here for the most part may be scalp, a vein or
a brain mask that reaches too far (docs/decisions/0009)."""


@dataclass(frozen=True)
class Spot:
    """One piece of the mask.

    Attributes:
        mm: its voxel nearest to its centre of mass (which may lie outside a bent piece), scanner
            RAS+ mm.
        is_at_rim: more than half of it lies within `RIM_MM` of the border of the brain mask.
    """

    mm: Point
    is_at_rim: bool = False


def find_spots(anomaly_mask: Volume, brain_mask: Volume | None) -> list[Spot]:
    """Return one spot for each lesion, in the order of `lesions.tsv`.

    Args:
        anomaly_mask: (I, J, K), above zero where abnormal.
        brain_mask: same grid; None tells nothing of the rim.
    """
    numbered = number_lesions(anomaly_mask.data)
    depth = None if brain_mask is None else _depth_mm(brain_mask)
    spots = []
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        inside = numbered[box] == number
        voxels = np.argwhere(inside) + [part.start for part in box]
        places = apply_affine(anomaly_mask.affine, voxels.astype(np.float64))
        nearest = np.linalg.norm(places - places.mean(axis=0), axis=1).argmin()
        x, y, z = places[nearest].round(2).tolist()
        rim = depth is not None and float(np.median(depth[box][inside])) < RIM_MM
        spots.append(Spot((x, y, z), rim))
    return spots


def _depth_mm(brain_mask: Volume) -> NDArray[np.float32]:
    """Return how far each voxel lies from the border of the brain, mm; 0 outside.

    The transform measures to the first voxel outside; the border lies half a voxel before it.
    """
    inside = brain_mask.data > 0
    out = np.zeros(inside.shape, dtype=np.float32)
    boxes = ndimage.find_objects(inside.astype(np.uint8))
    if boxes:
        framed = np.pad(inside[boxes[0]], 1)
        depth = ndimage.distance_transform_edt(framed, sampling=brain_mask.spacing_mm)
        border = min(brain_mask.spacing_mm) / 2
        out[boxes[0]] = np.maximum(depth[1:-1, 1:-1, 1:-1] - border, 0)
    return out
