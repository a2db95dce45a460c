"""Deformations: what moves, what stays, what is counted."""

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.evaluation.experiments import deformed_brains
from anatomaly.evaluation.experiments.deformed_brains import (
    MASS,
    Swelling,
    changed_voxels,
    csf_ml,
    follow_change,
    grow_ventricles,
    swell,
    wall_distance,
)
from anatomaly.evaluation.experiments.drawn_brains import DrawnBrain

SIZE = 48


def along_x(*x):
    points = np.zeros((3, len(x), 1, 1), np.float32)
    points[0, :, 0, 0] = x
    return points


def test_swelling_magnifies_its_middle_and_leaves_the_rest():
    deform = swell(Swelling((10.0, 0.0, 0.0), (20.0, 30.0, 30.0), 0.5))
    read = deform(along_x(10, 30, -10, 50, 10.1, 20))[0].ravel()
    np.testing.assert_allclose(read[:4], [10, 30, -10, 50])  # centre, rims, outside
    assert read[4] == pytest.approx(10.05, abs=1e-4)  # twice as large
    assert read[5] == pytest.approx(10 + 10 * (1 - 0.5 * 0.75**2), abs=1e-4)


def test_nothing_folds():
    line = along_x(*np.linspace(MASS.centre_mm[0], MASS.centre_mm[0] + 40, 200))
    line[1], line[2] = MASS.centre_mm[1:]
    read = swell(MASS)(line)[0].ravel()
    assert (np.diff(read) > 0).all()
    assert 5 < np.abs(read - line[0].ravel()).max() < 7


@pytest.fixture(name="hollow")
def fixture_hollow(monkeypatch):
    """A ball of white matter with a ventricle of radius 5 and CSF at its surface."""
    monkeypatch.setattr(deformed_brains, "LEAST_DEPTH_VOXELS", 10.0)
    monkeypatch.setattr(deformed_brains, "LEAST_VENTRICLE_VOXELS", 200)
    axes = np.meshgrid(*[np.arange(SIZE) - SIZE // 2] * 3, indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    csf = (radius < 5) | ((radius >= 20) & (radius < 22))
    csf[:2, :2, :2] = False
    mask = radius < 22
    return DrawnBrain(
        np.stack([csf, np.zeros_like(csf), mask & ~csf]).astype(np.float32), mask
    ), radius


def test_wall_distance_knows_the_ventricle_from_the_surface(hollow):
    brain, radius = hollow
    distance = wall_distance(brain)
    np.testing.assert_array_equal(distance < 0, radius < 5)
    assert distance[SIZE // 2, SIZE // 2, SIZE // 2] == pytest.approx(-5, abs=0.3)
    assert distance[SIZE // 2 + 15, SIZE // 2, SIZE // 2] == pytest.approx(11, abs=0.3)


def test_grown_ventricles_are_wider_by_some_three_voxels_and_little_moves_far_away(hollow):
    brain, radius = hollow
    grid = np.stack(np.meshgrid(*[np.arange(SIZE, dtype=np.float32)] * 3, indexing="ij"))
    read = grow_ventricles(brain)(grid)
    grown = ndimage.map_coordinates(brain.tissue_share[0], read, order=1) > 0.5
    inner = grown & (radius < 15)
    wider = (3 * inner.sum() / 4 / np.pi) ** (1 / 3) - (3 * (radius < 5).sum() / 4 / np.pi) ** (
        1 / 3
    )
    assert 2 < wider < 3.6
    assert inner[radius < 5].all()  # no fold: the ventricle is still in the ventricle
    moved = np.linalg.norm(read - grid, axis=0)
    assert moved.max() < 4.0  # six steps of .6 voxels along slopes of 1.1 at most
    far = (radius > 19) & (radius < 21)  # 15 voxels from the wall: e^(15/12) times less
    assert moved[far].mean() == pytest.approx(3.6 * np.exp(-15 / 12), rel=0.15)


def test_change_is_followed_by_hand():
    before = np.array([2, 2, 2, 2, 3, 0], np.uint8)
    after = np.array([1, 1, 1, 1, 3, 1], np.uint8)
    found = np.array([1, 2, 2, 3, 3, 1], np.uint8)
    assert changed_voxels(before, after).tolist() == [True] * 4 + [False] * 2
    assert follow_change(found, before, after) == (0.25, 0.5)
    assert np.isnan(follow_change(found, before, before)).all()


def test_csf_is_counted_in_the_region_only():
    tissue = np.ones((20, 10, 10), np.uint8)
    region = np.zeros(tissue.shape, bool)
    region[:10] = True
    tissue[:5] = 2
    assert csf_ml(tissue, region) == 0.5
