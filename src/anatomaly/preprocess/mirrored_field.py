"""Keep of a bias field's fine part only what both hemispheres show: coils mirror, tumours do not.

N4 with its usual four levels follows a large lesion and divides out half of its contrast; with two
it leaves half of a head coil's field in the scan. Head coils are nearly symmetric about the middle
of the head (in real heads the odd part of the field spreads a sixth as widely as the whole), large
lesions seldom are. So the fine part of the field counts at a place as far as the mirrored place
agrees. What is asymmetric and coarse is left to the two levels.

Source: ours; measured in benchmarks/results/bias_field.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.preprocess.bias_field import (
    BiasField,
    correct_bias_field,
    divide_out,
    undo_bias_field,
)
from anatomaly.preprocess.resample import empty_grid, resample, undo_resample
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Volume

COARSE_LEVELS = 2
STEP = 4
"""Grid on which the hemispheres are compared, in template voxels."""
SMOOTH_MM = 6.0
"""σ of the blur that rounds off where the hemispheres stop agreeing."""


def mirror_bias_field(
    corrected: Volume, record: BiasField, brain_mask: Volume, scanner_to_template: Affine
) -> tuple[Volume, BiasField]:
    """Replace a fine field by the coarse one and what of the fine one is on both sides.

    log f = log coarse + agreement(log fine − log coarse), see `agreement`.

    Args:
        corrected: of `correct_bias_field`, any grid.
        record: of the same call.
        brain_mask: bool, same grid.
        scanner_to_template: (4, 4), scanner mm to template mm.

    Returns:
        float32, the scan corrected anew; and the record.

    Raises:
        PreparationError: niimath failed.
    """
    scan = undo_bias_field(corrected, record)
    coarse = correct_bias_field(scan, brain_mask, COARSE_LEVELS, record.room_mm)[1]
    difference = np.log(record.field.data) - np.log(coarse.field.data)
    difference -= difference[brain_mask.data].mean()
    laid = resample(scan.with_data(difference), _mirror_grid(), scanner_to_template)
    agreed = ndimage.gaussian_filter(agreement(laid.data, laid.data[::-1]), SMOOTH_MM / STEP)
    fine_part = undo_resample(laid.with_data(agreed), scan, scanner_to_template)
    field = coarse.field.data * np.exp(fine_part.data)
    return divide_out(scan, replace(record, field=scan.with_data(field)))


def agreement(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the smaller of two values where their signs agree, else 0 (minmod).

    >>> agreement(np.array([3.0, -1.0, 2.0]), np.array([2.0, -4.0, -2.0])).tolist()
    [2.0, -1.0, 0.0]
    """
    smaller = np.where(np.abs(one) < np.abs(other), one, other)
    return np.where(one * other > 0, smaller, 0).astype(one.dtype)


def _mirror_grid() -> Volume:
    """Cells of `STEP` template voxels; those left and right lie the same way about x = 0."""
    affine = TEMPLATE_AFFINE.copy()
    inset = (STEP - 1) / 2
    affine[:3, 3] += affine[:3, :3] @ [STEP / 2, inset, inset]
    affine[:3, :3] *= STEP
    i, j, k = (n // STEP for n in TEMPLATE_SHAPE)
    return empty_grid((i, j, k), affine)
