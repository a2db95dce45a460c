"""Deformations of a healthy brain: enlarged ventricles, and tissue pushed aside by a mass.

Only the shape changes: no voxel gets an intensity that its tissue does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.evaluation.experiments.drawn_brains import DrawnBrain
from anatomaly.evaluation.phantom_head import Float32
from anatomaly.types import BoolArray

Deform = Callable[[Float32], Float32]
"""Template points (3, I, J, K) in mm to the points that are read instead."""

GROWTH_STEPS, GROWTH_STEP_MM, GROWTH_REACH_MM = 6, 0.6, 12.0
"""Reading points move to the ventricle by so many steps, of that length at the wall and e times
less at each further reach; at the middle line of a ventricle the steps end: nothing folds."""

LEAST_DEPTH_VOXELS, LEAST_VENTRICLE_VOXELS = 20.0, 2000
"""CSF that deep below the surface, in pieces of that size, is a ventricle or a cistern beside."""

AROUND_MM = 8.0
"""Volumes are counted up to so far from the walls."""


@dataclass(frozen=True)
class Swelling:
    """An ellipsoid whose middle grows and whose rim stays.

    Attributes:
        centre_mm: template position.
        radii_mm: where it ends.
        strength: in [0, 1): the middle is magnified by 1 / (1 − strength) along each axis.
    """

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    strength: float


MASS = Swelling((-34.0, -18.0, 28.0), (36.0, 40.0, 36.0), 0.55)
"""In the left hemisphere, without a tissue of its own: white matter and cortex that take more room
and push the rest aside by up to 6 mm."""


def swell(swelling: Swelling) -> Deform:
    """Return a deformation that magnifies the middle of an ellipsoid.

    A point at distance d (in radii, below 1) from the centre reads from d · (1 − strength ·
    (1 − d²)²), which grows with d: nothing folds.
    """

    def read_from(points: Float32) -> Float32:
        centre, radii = (
            np.array(numbers, dtype=np.float32).reshape(3, 1, 1, 1)
            for numbers in (swelling.centre_mm, swelling.radii_mm)
        )
        away = points - centre
        fall = np.clip(1 - ((away / radii) ** 2).sum(0), 0, 1) ** 2
        moved: Float32 = centre + away * (1 - swelling.strength * fall)
        return moved.astype(np.float32)

    return read_from


def grow_ventricles(brain: DrawnBrain) -> Deform:
    """Return a deformation that widens the ventricles of a brain; for points on its own grid."""

    def read_from(points: Float32) -> Float32:
        distance = ndimage.gaussian_filter(wall_distance(brain), 1.0)
        fall = np.exp(-np.maximum(distance, 0) / GROWTH_REACH_MM)
        steps = [GROWTH_STEP_MM * fall * slope for slope in np.gradient(distance)]
        voxels = np.stack(np.meshgrid(*map(np.arange, distance.shape), indexing="ij"))
        moved = np.zeros_like(points)
        for _ in range(GROWTH_STEPS):
            moved = moved - np.stack(
                [ndimage.map_coordinates(s, voxels + moved, order=1, mode="nearest") for s in steps]
            )
        return points + moved

    return read_from


DEFORMATIONS: dict[str, Callable[[DrawnBrain], Deform]] = {
    "enlarged ventricles": grow_ventricles,
    "mass effect": lambda _: swell(MASS),
}
"""What is done to a drawn brain, by name."""


def wall_distance(brain: DrawnBrain) -> Float32:
    """Distance from the ventricle walls in voxels (mm), (I, J, K), below 0 inside."""
    depth = ndimage.distance_transform_edt(np.pad(brain.brain_mask, 1))[1:-1, 1:-1, 1:-1]
    deep_csf = (brain.tissue_map == 1) & (depth > LEAST_DEPTH_VOXELS)
    labels, count = ndimage.label(deep_csf)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    inside = (sizes >= LEAST_VENTRICLE_VOXELS)[labels]
    distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    return np.asarray(distance.astype(np.float32))


def csf_ml(tissue_map: NDArray[np.uint8], region: BoolArray) -> float:
    """Volume of CSF (class 1) in a region, mL; (I, J, K) voxels of 1 mm."""
    return float(((tissue_map == 1) & region).sum()) / 1000


def follow_change(
    found: NDArray[np.uint8], before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> tuple[float, float]:
    """Say what a tissue map shows where a deformation changed the tissue.

    Args:
        found: (I, J, K), what is judged.
        before: (I, J, K), truth without the deformation.
        after: (I, J, K), truth with it.

    Returns:
        Share of the changed voxels where `found` shows the deformed tissue (kept), and where it
        shows the tissue from before (undone); nan where nothing changed.

    >>> follow_change(np.array([1, 2, 3]), np.array([2, 2, 3]), np.array([1, 3, 3]))
    (0.5, 0.5)
    """
    changed = changed_voxels(before, after)
    total = int(changed.sum())
    if not total:
        return float("nan"), float("nan")
    kept, undone = (int((found == truth)[changed].sum()) for truth in (after, before))
    return kept / total, undone / total


def changed_voxels(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> BoolArray:
    """Voxels that lie in the brain in both tissue maps and hold another tissue."""
    return np.asarray((before != after) & (before > 0) & (after > 0))
