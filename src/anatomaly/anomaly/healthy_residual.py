"""What healthy people score at each place, and how far a patient stands out from that.

Sulci, the walls of the ventricles and veins are rebuilt less well than the middle of the white
matter, in everybody. A residual means more where healthy people have none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.errors import GeometryError
from anatomaly.types import BoolArray, FloatArray

CELL = 4
"""Side of a cell of the map, in voxels of the working grid."""

SMOOTH_CELLS = 1.0
"""σ of the smoothing over neighbouring cells: few people are measured."""

ALLOWANCE = 0.02
"""Residual that is taken for granted everywhere; chosen on validation."""


def pool_cells(residual: FloatArray, brain_mask: BoolArray) -> FloatArray:
    """Sum up one person.

    Args:
        residual: (I, J, K), >= 0, on the working grid; sides multiples of `CELL`.
        brain_mask: (I, J, K).

    Returns:
        (2, I/4, J/4, K/4): mean of the residual and of the mask in each cell.

    Raises:
        GeometryError: a side is no multiple of `CELL`.
    """
    if any(n % CELL for n in residual.shape):
        raise GeometryError(f"sides of {residual.shape} must be multiples of {CELL}")
    both = np.stack([residual * brain_mask, brain_mask]).astype(np.float32)
    cells: FloatArray = F.avg_pool3d(torch.from_numpy(both), CELL).numpy()
    return cells


def measure_healthy_residual(people: Sequence[FloatArray]) -> NDArray[np.float32]:
    """Mean residual of healthy people at each place, both hemispheres alike.

    Args:
        people: (2, I/4, J/4, K/4) of `pool_cells`, one for each person.

    Returns:
        (I/4, J/4, K/4), >= 0; the mean of all where nobody has brain.

    Raises:
        GeometryError: there is nobody.
    """
    if not people:
        raise GeometryError("no healthy residual was given")
    both = np.sum(people, axis=0)
    both = both + both[:, ::-1]
    few = 0.05  # people: pulls empty places to the mean of all
    mean = both[0].sum() / max(float(both[1].sum()), 1e-6)
    residual, present = (ndimage.gaussian_filter(a, SMOOTH_CELLS) for a in both)
    out: NDArray[np.float32] = ((residual + few * mean) / (present + few)).astype(np.float32)
    return out


def normalise_residual(residual: FloatArray, healthy: FloatArray) -> NDArray[np.float32]:
    """Weigh a residual by how small it is in healthy people there.

    residual · a / (a + healthy), a = `ALLOWANCE`: the residual itself where healthy people have
    none.

    Args:
        residual: (I, J, K), >= 0.
        healthy: (I/4, J/4, K/4) of `measure_healthy_residual`.
    """
    small = torch.from_numpy(np.ascontiguousarray(healthy, dtype=np.float32))[None, None]
    expected = F.interpolate(small, size=residual.shape, mode="trilinear", align_corners=False)
    weighed = residual * (ALLOWANCE / (ALLOWANCE + expected[0, 0].numpy()))
    return weighed.astype(np.float32)
