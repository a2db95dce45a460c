from __future__ import annotations

import numpy as np
import pytest

from anatomaly.errors import PreparationError
from anatomaly.geometry import apply_affine
from anatomaly.preprocess.register import (
    Registration,
    nearest_rotation,
    register_to_template,
    rotations,
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
    assert Registration(affine, 1, 1, 2).turn_degrees == pytest.approx(np.degrees(angle))
