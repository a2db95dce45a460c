from __future__ import annotations

import numpy as np
import pytest

from anatomaly.geometry import apply_affine
from anatomaly.preprocess.coverage import find_coverage, full_coverage
from anatomaly.preprocess.template import load_template
from anatomaly.volume import Volume


def _plane_of(places, normal, share):
    """Offset of the plane beyond which this share of the places' extent along a normal lies."""
    along = places @ normal
    return along.max() - share * np.ptp(along)


def _missing_share(coverage):
    brain = load_template().brain_mask
    return 1.0 - (coverage.on_template(brain, np.eye(4)) & brain.data).sum() / brain.data.sum()


def test_whole_brain_has_no_cut(make_phantom):
    volume, mask = make_phantom("T1w")
    found = find_coverage(volume, mask)
    assert not found.is_partial
    assert _missing_share(found) < 0.01


@pytest.mark.parametrize(
    ("normal", "side"),
    [
        ((0, 1, 0), "front"), ((0, -1, 0), "back"), ((0, 0, 1), "top"), ((0, 0, -1), "bottom"),
        ((0.15, 0.93, 0.33), "front"), ((-0.3, 0.1, 0.9), "top"), ((1, 0, 0), "right"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.15, 0.4])
def test_flat_face_is_found_wherever_it_lies(make_phantom, normal, side, share):
    volume, mask = make_phantom("T1w")
    normal = np.array(normal) / np.linalg.norm(normal)
    everywhere = apply_affine(mask.affine, np.indices(mask.shape).reshape(3, -1).T)
    inside = everywhere[mask.data.ravel()]
    offset = _plane_of(inside, normal, share)
    left = mask.data & (everywhere @ normal < offset).reshape(mask.shape)
    found = find_coverage(volume, mask.with_data(left))
    cuts = found.normals[found.is_cut]
    closest = int((cuts @ normal).argmax())
    assert cuts[closest] @ normal > 0.97  # 14°
    assert found.offsets_mm[found.is_cut][closest] == pytest.approx(offset, abs=3.5)
    missing = found.missing_sides(load_template().brain_mask, np.eye(4))
    assert max(missing, key=missing.get) == side
    lost = 1 - left.sum() / mask.data.sum()
    share_found = _missing_share(found)
    assert share_found == pytest.approx(lost, abs=0.06)


def test_end_of_the_array_counts_without_a_cut():
    grid = Volume(np.zeros((10, 20, 30), np.uint8), np.diag([-2.0, 1.0, 1.5, 1.0]))
    found = find_coverage(grid, grid.with_data(np.ones(grid.shape, bool)))
    inside = apply_affine(grid.affine, np.array([[0.0, 0, 0], [9, 19, 29], [9.4, 0, 0]]))
    outside = apply_affine(grid.affine, np.array([[-0.6, 0, 0], [0, 19.6, 0], [0, 0, -0.6]]))
    assert found.contains(inside).all() and not found.contains(outside).any()
    assert found.contains(outside, slack_mm=1.0).all()


def test_sheared_grid_has_its_own_faces():
    affine = np.array([[2.0, 0.6, 0, 5], [0, 2.0, 0.4, -3], [0.3, 0, 3.0, 8], [0, 0, 0, 1]])
    grid = Volume(np.zeros((8, 9, 7), np.uint8), affine)
    found = find_coverage(grid, grid.with_data(np.ones(grid.shape, bool)))
    rng = np.random.default_rng(0)
    indices = rng.uniform(-3, 12, (500, 3))
    inside = ((indices > -0.5) & (indices < np.array(grid.shape) - 0.5)).all(axis=1)
    np.testing.assert_array_equal(found.contains(apply_affine(affine, indices)), inside)


def test_end_of_the_array_that_the_brain_does_not_reach_counts_for_nothing():
    grid = Volume(np.zeros((60, 60, 60), np.uint8), np.diag([2.0, 2.0, 2.0, 1.0]))
    away = np.linalg.norm(np.stack(np.indices(grid.shape), -1) - (30, 30, 35), axis=-1)
    mask = away < 24.9  # a ball that reaches the top alone
    found = find_coverage(grid, grid.with_data(mask))
    assert not found.contains(np.array([[60.0, 60, 125]])).any()
    assert found.contains(np.array([[60.0, 60, -30], [-30, 60, 60]])).all()


def test_coverage_without_an_end_covers_everything():
    assert full_coverage().contains(np.array([[1e6, 0, 0]])).all()
    assert not full_coverage().is_partial
