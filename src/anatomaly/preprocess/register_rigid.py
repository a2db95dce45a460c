"""Register two scans of one head, taken in one session: rotation and shift, nothing else.

niimath's fast engine always fits 12 degrees of freedom, and its six-degree fits take a minute; the
rigid transform nearest to the fast fit is as exact (docs/decisions/0011 holds the measurements).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anatomaly.errors import PreparationError
from anatomaly.geometry import affine_about, apply_affine
from anatomaly.preprocess.quality import mask_dice
from anatomaly.preprocess.register import cut_out_brain, nearest_rotation, run_allineate
from anatomaly.preprocess.resample import resample, resample_mask
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Volume

MOST_POINTS = 20_000
SAME_HEAD_DICE = 0.80
"""Overlap of the two brain masks below which the registration is not believed."""


@dataclass(frozen=True)
class RigidRegistration:
    """Where one scan of a head lies in another.

    Attributes:
        moving_to_fixed: (4, 4), mm to mm; a rotation and a shift.
        dice: overlap of the brain masks where the moving scan has a field of view, 0 to 1.
    """

    moving_to_fixed: Affine
    dice: float

    @property
    def is_good(self) -> bool:
        """True where the masks overlap as two masks of one head do."""
        return self.dice >= SAME_HEAD_DICE


def register_rigid(
    moving: Volume, moving_mask: Volume, fixed: Volume, fixed_mask: Volume, start: Affine
) -> RigidRegistration:
    """Find rotation and shift that bring one scan of a head onto another of the same head.

    Args:
        moving: any sequence, any unit, any grid.
        moving_mask: bool, inside the brain; same grid.
        fixed: the other scan.
        fixed_mask: bool, on its grid.
        start: (4, 4), mm of `moving` to roughly mm of `fixed`.

    Raises:
        PreparationError: a mask is empty, or niimath failed.
    """
    if not (moving_mask.data.any() and fixed_mask.data.any()):
        raise PreparationError("a brain mask of the session is empty; give one with --brain-mask")
    small, small_mask = cut_out_brain(moving, moving_mask)
    target, target_mask = cut_out_brain(fixed, fixed_mask)
    affine = run_allineate(small, target, start)
    points = small_mask.places_mm
    rigid = nearest_rigid(affine, points[:: max(1, len(points) // MOST_POINTS)])
    laid = resample_mask(small_mask, target_mask, rigid)
    everywhere = moving.with_data(np.ones(moving.shape, np.uint8))
    in_view = resample(everywhere, target_mask, rigid, order=0).data > 0
    return RigidRegistration(rigid, mask_dice(laid, target_mask.data & in_view))


def nearest_rigid(affine: Affine, points: FloatArray) -> Affine:
    """Return the rotation and shift that do to points nearly what an affine does.

    Args:
        affine: (4, 4).
        points: (N, 3) mm, three or more that span space.

    Returns:
        (4, 4), the least-squares solution.

    Source: Kabsch, Acta Crystallogr. A 32:922 (1976), doi:10.1107/S0567739476001873.

    >>> corners = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]])
    >>> bool(np.allclose(nearest_rigid(np.eye(4), corners), np.eye(4)))
    True
    """
    images = apply_affine(affine, points)
    centre, image_centre = points.mean(axis=0), images.mean(axis=0)
    turn = nearest_rotation((images - image_centre).T @ (points - centre))
    return affine_about(turn, centre, image_centre)
