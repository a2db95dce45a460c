"""The one home of geometry: RAS+ and millimetres inside, conversion only at the border.

An affine maps voxel indices (i, j, k) to scanner millimetres with +x to the patient's right,
+y to the front and +z up (RAS+, the NIfTI convention). Voxel indices name voxel centres.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anatomaly.errors import GeometryError
from anatomaly.types import Affine, FloatArray

if TYPE_CHECKING:
    from torch import Tensor

MIN_SPACING_MM, MAX_SPACING_MM = 0.05, 12.0
"""Smallest and largest voxel side of a head scan; 0.1 mm is the finest of a whole brain so far."""

MM_PER_UNIT = {1: 1000.0, 3: 0.001}
"""By NIfTI's code of the unit of length: metre, micrometre."""


def check_affine(affine: FloatArray, what: str = "affine") -> Affine:
    """Return a (4, 4) float64 affine, or refuse it.

    Args:
        affine: (4, 4) voxel indices to mm.
        what: how the message names the affine.

    Raises:
        GeometryError: not (4, 4), not finite, singular, or with a last row other than 0 0 0 1.
    """
    out = np.asarray(affine, dtype=np.float64)
    if out.shape != (4, 4):
        raise GeometryError(f"{what}: expected shape (4, 4), found {out.shape}")
    if not np.isfinite(out).all():
        raise GeometryError(
            f"{what}: contains NaN or Inf; repair the header (for example with nibabel) and retry"
        )
    if not np.allclose(out[3], (0, 0, 0, 1)):
        raise GeometryError(f"{what}: last row is {out[3]}, expected 0 0 0 1")
    spacing = np.linalg.norm(out[:3, :3], axis=0)
    if spacing.min() <= 0 or abs(np.linalg.det(out[:3, :3])) < 1e-4 * spacing.prod():
        raise GeometryError(
            f"{what}: singular (voxel sizes {np.round(spacing, 4)} mm); the header holds no usable "
            "position, convert the scan again from DICOM"
        )
    return out


def spacing_mm(affine: Affine) -> FloatArray:
    """Return the voxel size along i, j, k in mm, shape (3,).

    >>> spacing_mm(np.diag([1.0, 2.0, 3.0, 1.0])).tolist()
    [1.0, 2.0, 3.0]
    """
    spacing: FloatArray = np.linalg.norm(affine[:3, :3], axis=0)
    return spacing


def mm_per_unit(code: int, spacing: FloatArray) -> float | None:
    """Return the factor from a header's unit of length to mm.

    Args:
        code: of the unit, as NIfTI numbers them (1 metre, 2 mm, 3 micrometre, 0 unknown).
        spacing: (3,) voxel sizes in that unit.

    Returns:
        1 where the unit is mm or unknown, unless only metres or micrometres make voxels of a head
        scan; None where metre or micrometre would make voxels that no head scan has.

    >>> mm_per_unit(1, np.full(3, 0.002)), mm_per_unit(2, np.ones(3)), mm_per_unit(1, np.ones(3))
    (1000.0, 1.0, None)
    >>> mm_per_unit(2, np.full(3, 0.001)), mm_per_unit(0, np.full(3, 900.0))
    (1000.0, 0.001)
    """
    if code in MM_PER_UNIT:
        factor = MM_PER_UNIT[code]
        return factor if has_plausible_voxels(spacing * factor) else None
    factors = (1.0, *MM_PER_UNIT.values())
    return next((factor for factor in factors if has_plausible_voxels(spacing * factor)), 1.0)


def has_plausible_voxels(spacing: FloatArray) -> bool:
    """Tell whether a head scan may have voxels of these sizes in mm, shape (3,)."""
    return bool(spacing.min() >= MIN_SPACING_MM and spacing.max() <= MAX_SPACING_MM)


def affine_in_mm(affine: FloatArray, header: Any) -> Affine:
    """Return the affine of a file in mm, whatever unit its header names.

    Args:
        affine: (4, 4) voxel indices to the file's unit.
        header: of nibabel; one without units is in mm.
    """
    out = np.array(affine, dtype=np.float64)
    code = int(header["xyzt_units"]) & 7 if "xyzt_units" in header else 0
    out[:3] *= mm_per_unit(code, spacing_mm(out)) or 1.0
    return out


def voxel_volume_mm3(affine: Affine) -> float:
    """Return the volume of one voxel in mm³ (right also for sheared grids).

    >>> voxel_volume_mm3(np.diag([1.0, 2.0, 3.0, 1.0]))
    6.0
    """
    return float(round(abs(np.linalg.det(affine[:3, :3])), 9))


def apply_affine(affine: Affine, points: FloatArray) -> FloatArray:
    """Map points of shape (..., 3) through a (4, 4) affine; same shape out.

    >>> apply_affine(np.diag([2.0, 2.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0])).tolist()
    [2.0, 4.0, 6.0]
    """
    return np.asarray(points) @ affine[:3, :3].T + affine[:3, 3]


def flip_lps_ras(points: FloatArray) -> FloatArray:
    """Turn DICOM's mm (LPS: +x left, +y back) into RAS+ mm, or back; shape (..., 3) in and out.

    >>> flip_lps_ras(np.array([1.0, 2.0, 3.0])).tolist()
    [-1.0, -2.0, 3.0]
    """
    return np.asarray(points) * (-1.0, -1.0, 1.0)


def voxel_to_voxel(from_affine: Affine, to_affine: Affine, world: Affine | None = None) -> Affine:
    """Return the (4, 4) map from voxel indices of one grid to voxel indices of another.

    Args:
        from_affine: grid of the indices put in.
        to_affine: grid of the indices that come out.
        world: optional map between the two mm spaces (from-mm to to-mm); identity if None.
    """
    middle = np.eye(4) if world is None else world
    return np.linalg.inv(to_affine) @ middle @ from_affine


def affine_about(linear: FloatArray, centre: FloatArray, image: FloatArray | None = None) -> Affine:
    """Return the (4, 4) affine with this linear part that maps a point to another.

    Args:
        linear: (3, 3).
        centre: (3,) mm.
        image: (3,) mm, where the point goes; it stays if None.
    """
    out = np.eye(4)
    out[:3, :3] = linear
    out[:3, 3] = (centre if image is None else image) - linear @ centre
    return out


def rotations() -> list[FloatArray]:
    """Return the 24 rotations (3, 3) that map axes onto axes, the identity first.

    >>> len(rotations()), rotations()[0].tolist()
    (24, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    """
    turns = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            turn = np.zeros((3, 3))
            turn[range(3), order] = signs
            if np.linalg.det(turn) > 0:
                turns.append(turn)
    return sorted(turns, key=lambda turn: -float(np.trace(turn)))


TEMPLATE_SHAPE: tuple[int, int, int] = (160, 192, 160)
"""Working grid: 1 mm voxels around the MNI152 brain, divisible by 16."""

TEMPLATE_AFFINE: Affine = np.array(
    [[1.0, 0, 0, -80.0], [0, 1.0, 0, -113.0], [0, 0, 1.0, -76.0], [0, 0, 0, 1.0]]
)
"""RAS+ mm of MNI152 (nilearn's ICBM 2009a symmetric template)."""

MIDPLANE_INDEX = 80
"""First index of the voxels whose centres lie on the template's midplane, x = 0."""


def mirrored_index(index: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the first index of the voxels on the other side: i becomes 160 − i.

    Index 0, 80 mm left, has no mirror and stays.

    >>> mirrored_index(np.array([0, 1, 80, 100])).tolist()
    [0, 159, 80, 60]
    """
    return (2 * MIDPLANE_INDEX - index) % TEMPLATE_SHAPE[0]


def mirror(volume: Tensor) -> Tensor:
    """Exchange left and right of a whole volume (B, C, 160, J, K), see `mirrored_index`."""
    return volume.flip(2).roll(1, 2)


TEMPLATE_SPACE = "MNI152NLin2009aSym"
"""BIDS name of the template space."""
