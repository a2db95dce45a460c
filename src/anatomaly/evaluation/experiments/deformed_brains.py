"""Deformations of a healthy brain: enlarged ventricles, and tissue pushed aside by a mass.

Only the shape changes: no voxel gets an intensity that its tissue does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anatomaly.evaluation.phantom_head import Float32
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.types import BoolArray


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


SWELLINGS: dict[str, Swelling] = {
    "enlarged ventricles": Swelling((0.0, -12.0, 12.0), (44.0, 62.0, 40.0), 0.45),
    "mass effect": Swelling((-34.0, -18.0, 28.0), (36.0, 40.0, 36.0), 0.55),
}
"""Both move tissue by up to about 6 mm; the mass lies in the left hemisphere and has no tissue of
its own: it is white matter and cortex that takes more room."""

VENTRICLE_BOX_MM = ((-30.0, 30.0), (-50.0, 40.0), (-10.0, 34.0))
"""Template box around the lateral ventricles; other CSF in it is counted before and after."""


def swell(swelling: Swelling) -> Callable[[Float32], Float32]:
    """Return where to read: template points (3, I, J, K) in mm to template points.

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


def ventricle_ml(tissue_map: NDArray[np.uint8]) -> float:
    """Volume of CSF (class 1) inside `VENTRICLE_BOX_MM`, mL; tissue map on the working grid."""
    origin = TEMPLATE_AFFINE[:3, 3]
    box = tuple(
        slice(max(0, int(low - start)), max(0, int(high - start)))
        for (low, high), start in zip(VENTRICLE_BOX_MM, origin, strict=True)
    )
    return float((tissue_map[box] == 1).sum()) / 1000


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
    changed: BoolArray = (before != after) & (before > 0) & (after > 0)
    return changed
