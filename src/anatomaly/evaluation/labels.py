"""The label of a case: where the lesion is, and where the label leaves it open."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from anatomaly.errors import EvaluationError, GeometryError
from anatomaly.evaluation.cases import Case
from anatomaly.geometry import apply_affine, check_affine
from anatomaly.types import Affine, BoolArray
from anatomaly.volume import Volume

GRID_TOLERANCE_MM = 0.1
"""Two grids are the same where no corner lies further apart; headers round."""


class Label(NamedTuple):
    """What a label says of each voxel.

    Attributes:
        lesion: (I, J, K) bool on the grid of the scan; empty for a healthy person.
        open: (I, J, K) bool, voxels that are neither lesion nor healthy: take them out of the
            brain mask before anything is measured.
    """

    lesion: Volume
    open: BoolArray


def read_label(case: Case) -> Label:
    """Read the label of a case, checked against the grid of its scan.

    Raises:
        EvaluationError: a file cannot be read, or the label lies on another grid.
    """
    grid = grid_of(case.scan)
    if case.label is None:
        nothing = np.zeros(grid[0], dtype=np.bool_)
        return Label(Volume(nothing, grid[1]), nothing)
    difference = grid_difference(grid_of(case.label), grid)
    if difference:
        raise EvaluationError(
            f"{case.label}: {difference} than {case.scan.name}; resample it (nearest neighbour), "
            "or give the scan on which it was drawn"
        )
    values = np.rint(read_voxels(case.label)).astype(np.int64)
    lesion = lesion_of(case, values)
    still_open = np.isin(values, case.open_values)
    return Label(Volume(lesion & ~still_open, grid[1]), still_open)


def lesion_of(case: Case, values: NDArray[Any]) -> BoolArray:
    """Return which whole numbers (I, J, K) of the label of a case are lesion."""
    return np.isin(values, case.lesion_values) if case.lesion_values else values > 0


def read_voxels(path: Path) -> NDArray[Any]:
    """Read the voxels of a NIfTI file, (I, J, K).

    Raises:
        EvaluationError: it is not there, ends early or is damaged.
    """
    image = _open(path)
    try:
        voxels = np.asanyarray(image.dataobj)
    except Exception as error:  # zlib, gzip and nibabel each have errors of their own
        raise EvaluationError(f"{path}: cannot be read ({error}); download it again") from error
    return np.reshape(voxels, image.shape[:3])


def _open(path: Path) -> Any:
    """Open a NIfTI file, header only."""
    try:
        return nib.load(path)
    except (OSError, nib.filebasedimages.ImageFileError, EOFError, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be read ({error}); download it again") from error


def grid_difference(
    one: tuple[tuple[int, ...], Affine], other: tuple[tuple[int, ...], Affine]
) -> str:
    """Say in words how one grid (shape, affine) differs from another; empty if it does not.

    >>> grid_difference(((4, 4, 2), np.eye(4)), ((4, 4, 3), np.eye(4)))
    'another shape (4×4×2, not 4×4×3)'
    >>> grid_difference(((4, 4, 2), np.diag([1, 1, 2, 1.0])), ((4, 4, 2), np.eye(4)))
    'another position (corners up to 1.0 mm apart)'
    """
    if one[0] != other[0]:
        shapes = ["×".join(map(str, shape)) for shape in (one[0], other[0])]
        return f"another shape ({shapes[0]}, not {shapes[1]})"
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(one[0]) - 1)
    apart = np.linalg.norm(apply_affine(one[1], corners) - apply_affine(other[1], corners), axis=1)
    if apart.max() > GRID_TOLERANCE_MM:
        return f"another position (corners up to {apart.max():.1f} mm apart)"
    return ""


def grid_of(path: Path) -> tuple[tuple[int, ...], Affine]:
    """Return shape and affine of a file, without its voxels or a fourth axis of length 1.

    Raises:
        EvaluationError: it cannot be read or holds no 3D image.
    """
    image = _open(path)
    shape = tuple(int(n) for n in image.shape)
    if len(shape) < 3 or any(n != 1 for n in shape[3:]):
        raise EvaluationError(f"{path}: shape {shape}, expected one 3D image")
    try:
        return shape[:3], check_affine(image.affine)
    except GeometryError as error:
        raise EvaluationError(f"{path}: {error}") from error
