from __future__ import annotations

import numpy as np
import pytest

from anatomaly.errors import PreparationError
from anatomaly.geometry import apply_affine, rotations
from anatomaly.preprocess.checks import refusal_of
from anatomaly.preprocess.quality import Fit
from anatomaly.preprocess.register import (
    Registration,
    nearest_rotation,
    register_to_template,
)
from anatomaly.preprocess.template import load_template
from anatomaly.volume import Volume

MOVED = np.array(
    [[1.06, 0.14, -0.05, 14], [-0.16, 0.95, 0.12, -11], [0.02, -0.09, 1.04, 9], [0, 0, 0, 1.0]]
)


def _error_mm(found, template_to_scanner):
    places = apply_affine(
        load_template().brain_mask.affine, np.argwhere(load_template().brain_mask.data)[::50]
    )
    there = apply_affine(template_to_scanner, places)
    return float(np.linalg.norm(apply_affine(found, there) - places, axis=1).mean())


@pytest.mark.parametrize(("contrast", "origin_mm"), [("T1w", 0), ("T2w", 900)])
def test_known_affine_is_recovered_wherever_the_origin_is(make_phantom, contrast, origin_mm):
    volume, mask = make_phantom(contrast, MOVED)
    shift = np.eye(4)
    shift[:3, 3] = (0.4 * origin_mm, -origin_mm, 0.25 * origin_mm)
    moved = Volume(volume.data, shift @ volume.affine)
    found = register_to_template(moved, Volume(mask.data, moved.affine))
    # the phantom shares its anatomy with the template; at 2 to 2.6 mm voxels .2 to .5 mm is usual
    assert _error_mm(found.scanner_to_template, shift @ MOVED) < 1.0
    assert found.attempts == 1 and found.is_good
    assert found.turn_degrees == pytest.approx(9.8, abs=2)


def test_head_turned_by_90_degrees_is_found_by_more_starts(make_phantom):
    volume, mask = make_phantom("T1w")
    turn = np.eye(4)
    turn[1:3, 1:3] = [[0, -1], [1, 0]]
    turned = Volume(volume.data, turn @ volume.affine)
    found = register_to_template(turned, Volume(mask.data, turned.affine))
    assert _error_mm(found.scanner_to_template, turn) < 1.5
    assert found.attempts > 1
    assert found.turn_degrees == pytest.approx(90, abs=3)


def test_empty_mask_is_refused(make_phantom):
    volume, mask = make_phantom("T1w")
    with pytest.raises(PreparationError, match="--brain-mask"):
        register_to_template(volume, mask.with_data(np.zeros(mask.shape, dtype=bool)))


@pytest.mark.parametrize(("side", "share"), [("front", 0.3), ("top", 0.4), ("bottom", 0.3)])
def test_what_is_left_of_a_cut_brain_lands_in_its_place(make_phantom, side, share):
    volume, mask = make_phantom("FLAIR")
    places = apply_affine(mask.affine, np.argwhere(mask.data))
    axis, sign = {"front": (1, 1), "top": (2, 1), "bottom": (2, -1)}[side]
    along = sign * apply_affine(mask.affine, np.indices(mask.shape).reshape(3, -1).T)[:, axis]
    ends = sorted(sign * places[:, axis])
    left = (along < ends[-1] - share * (ends[-1] - ends[0])).reshape(mask.shape) & mask.data
    found = register_to_template(volume.with_data(volume.data * left), mask.with_data(left))
    there = apply_affine(found.scanner_to_template, apply_affine(mask.affine, np.argwhere(left)))
    error = np.linalg.norm(there - apply_affine(mask.affine, np.argwhere(left)), axis=1)
    assert error.mean() < 5.0  # .7 to 4 mm in real brains cut by as much
    assert found.coverage.is_partial and refusal_of(found.fit) is None
    assert found.fit.missing > share / 3
    template = load_template().brain_mask
    assert side in found.coverage.missing_sides(template, found.scanner_to_template)


def test_rotations_are_the_24_proper_ones():
    found = rotations()
    assert len({tuple(turn.ravel()) for turn in found}) == 24
    for turn in found:
        assert np.linalg.det(turn) == pytest.approx(1)


def test_nearest_rotation_undoes_scale_and_shear():
    angle = 0.7
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.8, 1.2, 1.1])
    np.testing.assert_allclose(nearest_rotation(affine), turn, atol=1e-9)
    assert Registration(affine, Fit(1, 0.1, 0, 0.5, 2, 0, 1)).turn_degrees == pytest.approx(
        np.degrees(angle)
    )
