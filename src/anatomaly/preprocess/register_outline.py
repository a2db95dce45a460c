"""Fit the outline of a brain mask to the template's where the scan covers it; reads no intensity.

A second opinion that no lesion, contrast or sequence can spoil, and the start of the registration
of a brain that the field of view cuts.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage, optimize

from anatomaly.geometry import affine_about, apply_affine
from anatomaly.preprocess.coverage import Coverage
from anatomaly.preprocess.template import load_template
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Volume

USUAL_SCALE = 1.10
"""The template is larger than most brains: 12-degree fits of whole ones enlarge by .96 to 1.32."""

SCALE_SPREAD = 0.10
"""Standard deviation of the logarithm of the scale that is held likely."""

ANGLE_SPREAD = 0.25
"""The same for the angles, in radians."""

_BLURS_MM = (8.0, 3.0)
_GRID_SPACING_MM = 6.0
_MARGIN_MM = 18.0
_PENALTY = 0.01


def fit_outline(brain_mask: Volume, coverage: Coverage) -> Affine:
    """Find rotation, shift and three scales that lay a mask over the template's, where covered.

    Maximises the soft Dice overlap over covered places, coarse to fine; scale and angles are drawn
    to what heads have, so that a brain that is cut is not stretched to a whole one.

    Args:
        brain_mask: bool, scanner space; axes within about 40° of the template's.
        coverage: of the scan.

    Returns:
        (4, 4), scanner mm to template mm.
    """
    places, is_brain = _sample(brain_mask, coverage)
    brain = places[is_brain > 0.5]
    centre = brain.mean(axis=0)
    parameters = np.concatenate([np.zeros(6), _first_shift(brain - centre, coverage)])
    for blur in _BLURS_MM:
        parameters = optimize.minimize(
            _cost, parameters, (places, is_brain, centre, _soft_template(blur)), "Powell",
            options={"xtol": 0.01, "ftol": 1e-4, "maxiter": 12},
        ).x  # fmt: skip
    return _affine(parameters, centre)


def _affine(parameters: FloatArray, centre: FloatArray) -> Affine:
    """Return the affine of three angles (rad), three log scales / usual, and a shift / 30 mm."""
    turn = np.eye(3)
    for axis, angle in enumerate(parameters[:3]):
        first, second = [other for other in range(3) if other != axis]
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    linear = np.diag(USUAL_SCALE * np.exp(parameters[3:6])) @ turn
    return affine_about(linear, centre, _template_extent()[2] + 30.0 * parameters[6:9])


def _cost(
    parameters: FloatArray,
    places: FloatArray,
    is_brain: FloatArray,
    centre: FloatArray,
    template: Volume,
) -> float:
    """Return 1 − soft Dice, plus what unusual scales and angles cost."""
    affine: Affine = np.linalg.inv(template.affine) @ _affine(parameters, centre)
    values = ndimage.map_coordinates(
        template.data, apply_affine(affine, places).T, order=1, mode="constant"
    )
    both = float(np.minimum(values, is_brain).sum())
    dice = 2.0 * both / float(values.sum() + is_brain.sum())
    unusual = (parameters[3:6] / SCALE_SPREAD) ** 2
    turned = (parameters[:3] / ANGLE_SPREAD) ** 2
    return 1.0 - dice + _PENALTY * float(unusual.mean() + turned.mean())


def _sample(brain_mask: Volume, coverage: Coverage) -> tuple[FloatArray, FloatArray]:
    """Return covered places on a coarse grid around a mask, (N, 3) scanner mm, and brain shares."""
    brain = brain_mask.places_mm
    low, high = brain.min(axis=0) - _MARGIN_MM, brain.max(axis=0) + _MARGIN_MM
    axes = [np.arange(a, b, _GRID_SPACING_MM) for a, b in zip(low, high, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    places = np.asarray(places[coverage.contains(places)], dtype=np.float64)
    sigma = _GRID_SPACING_MM / 2.5 / brain_mask.spacing_mm
    soft = ndimage.gaussian_filter(brain_mask.data.astype(np.float32), sigma)
    to_voxels = np.asarray(np.linalg.inv(brain_mask.affine), dtype=np.float64)
    indices = apply_affine(to_voxels, places)
    share = ndimage.map_coordinates(soft, indices.T, order=1, mode="constant")
    return places, share


def _first_shift(brain: FloatArray, coverage: Coverage) -> FloatArray:
    """Return the shift / 30 mm that lays the ends of the mask that are whole on the template's."""
    target_low, target_high, target_centre = _template_extent()
    source = USUAL_SCALE * brain
    low, high = source.min(axis=0), source.max(axis=0)
    shift = np.zeros(3)
    for axis in range(3):
        ends = [target_low[axis] - low[axis], target_high[axis] - high[axis]]
        along = coverage.normals[coverage.is_cut][:, axis]
        whole = [not (along < -0.7).any(), not (along > 0.7).any()]
        weights = np.array(whole, dtype=float) if any(whole) else np.ones(2)
        shift[axis] = np.average(ends, weights=weights)
    return np.asarray((shift - target_centre) / 30.0)


@lru_cache(maxsize=1)
def _template_extent() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return lowest and highest coordinates and centre of the template's brain, each (3,) mm."""
    places = load_template().brain_mask.places_mm
    return places.min(axis=0), places.max(axis=0), places.mean(axis=0)


@lru_cache(maxsize=2)
def _soft_template(blur_mm: float) -> Volume:
    """Return the template's brain mask blurred, on a grid of 3 mm."""
    mask = load_template().brain_mask
    soft = ndimage.gaussian_filter(mask.data.astype(np.float32), blur_mm)[1::3, 1::3, 1::3]
    affine = mask.affine @ affine_about(3.0 * np.eye(3), np.zeros(3), np.ones(3))
    return Volume(soft, affine)
