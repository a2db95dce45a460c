"""Median, rim, threshold and small components by brute force, on grids that are no cubes."""

import itertools

import numpy as np
import pytest

from anatomaly.anomaly.postprocess import postprocess, threshold_map
from anatomaly.errors import GeometryError
from anatomaly.volume import Volume

SHAPE = (15, 12, 13)


def brain():
    i, j, k = np.indices(SHAPE) - np.array([7, 5.5, 6]).reshape(3, 1, 1, 1)
    return (i / 6.6) ** 2 + (j / 5.2) ** 2 + (k / 5.7) ** 2 < 1


def score():
    return np.random.default_rng(0).random(SHAPE).astype(np.float32)


def depth_of(mask, place):
    """Distance from a voxel to the nearest one outside, the surroundings being outside."""
    outside = np.argwhere(~np.pad(mask, 1)) - 1
    return np.sqrt(((outside - place) ** 2).sum(1)).min()


@pytest.mark.parametrize(("sigma", "erosion"), [(0.5, 2.0), (0.7, 3.0), (0.4, 1.5)])
def test_brute_force(sigma, erosion):
    raw, mask = score(), brain()
    found = postprocess(raw, mask, sigma_voxels=sigma, erosion_voxels=erosion)
    expected = np.zeros(SHAPE, np.float32)
    places = np.indices(SHAPE)
    for place in np.argwhere(mask):
        if depth_of(mask, place) > erosion:
            distance = ((places - place.reshape(3, 1, 1, 1)) ** 2).sum(0)
            weight = np.exp(-distance / (2 * sigma**2))
            expected[tuple(place)] = (weight * raw).sum() / weight.sum()
    assert found.dtype == np.float32
    assert 0 < (expected > 0).sum() < mask.sum()
    np.testing.assert_allclose(found, expected, atol=2e-3)  # scipy cuts the window at 4 σ


def test_without_rim_and_filter_the_score_stays():
    raw, mask = score(), brain()
    found = postprocess(raw, mask, sigma_voxels=0, erosion_voxels=0)
    np.testing.assert_array_equal(found, raw * mask)


def test_a_brain_that_fills_the_grid_has_a_rim_too():
    found = postprocess(score(), np.ones(SHAPE, bool), sigma_voxels=0, erosion_voxels=1)
    assert (found[1:-1, 1:-1, 1:-1] > 0).all()
    assert found.astype(bool).sum() == np.prod(np.array(SHAPE) - 2)


def test_empty_mask_gives_an_empty_map():
    assert not postprocess(score(), np.zeros(SHAPE, bool), sigma_voxels=1, erosion_voxels=1).any()


def test_shapes_must_agree():
    with pytest.raises(GeometryError, match="differ in shape"):
        postprocess(score(), brain()[1:], sigma_voxels=1, erosion_voxels=1)


def components(mask):
    """Components of 26 neighbours by a search from voxel to voxel."""
    left, found = {tuple(p) for p in np.argwhere(mask)}, []
    while left:
        queue, group = [left.pop()], []
        while queue:
            place = queue.pop()
            group.append(place)
            for step in itertools.product((-1, 0, 1), repeat=3):
                neighbour = tuple(np.add(place, step))
                if neighbour in left:
                    left.remove(neighbour)
                    queue.append(neighbour)
        found.append(group)
    return found


AFFINE = np.array([[0.0, 1.25, 0, 3], [-0.8, 0, 0, 7], [0, 0, 3.0, -9], [0, 0, 0, 1]])
VOXEL = 0.8 * 1.25 * 3.0


@pytest.mark.parametrize("voxels", [1, 2, 5, 9])
def test_components_below_so_many_mm3_go(voxels):
    data, mask = score(), brain()
    found = threshold_map(Volume(data, AFFINE), Volume(mask, AFFINE), 0.85, voxels * VOXEL - 0.01)
    expected = np.zeros(SHAPE, np.uint8)
    for group in components((data > 0.85) & mask):
        if len(group) >= voxels:
            for place in group:
                expected[place] = 1
    assert found.data.dtype == np.uint8
    assert 0 < expected.sum() < mask.sum()
    np.testing.assert_array_equal(found.data, expected)
    np.testing.assert_array_equal(found.affine, AFFINE)


def test_size_counts_in_mm3_not_in_voxels():
    data = np.zeros(SHAPE, np.float32)
    data[5, 5, 5:7] = 1  # 6 mm³
    mask = Volume(np.ones(SHAPE, np.uint8), AFFINE)
    assert threshold_map(Volume(data, AFFINE), mask, 0.5, 6.0).data.sum() == 2
    assert threshold_map(Volume(data, AFFINE), mask, 0.5, 6.1).data.sum() == 0


def test_corners_touch_and_the_threshold_itself_is_not_above():
    data = np.zeros(SHAPE, np.float32)
    data[3, 3, 3] = data[4, 4, 4] = 0.9
    data[9, 9, 9] = 0.5
    mask = Volume(np.ones(SHAPE, bool), AFFINE)
    assert threshold_map(Volume(data, AFFINE), mask, 0.5, 2 * VOXEL).data.sum() == 2
    assert threshold_map(Volume(data, AFFINE), mask, 0.5, 0).data.sum() == 2


def test_outside_the_brain_nothing_is_marked():
    mask = brain()
    found = threshold_map(Volume(np.ones(SHAPE), AFFINE), Volume(mask, AFFINE), 0.5, 0)
    np.testing.assert_array_equal(found.data, mask)


def piece_of(values, start):
    """All voxels that 26-neighbours connect with one inside a mask, by walking."""
    found, waiting = {start}, [start]
    while waiting:
        at = waiting.pop()
        for step in itertools.product((-1, 0, 1), repeat=3):
            to = tuple(a + s for a, s in zip(at, step, strict=True))
            inside = all(0 <= t < n for t, n in zip(to, values.shape, strict=True))
            if inside and values[to] and to not in found:
                found.add(to)
                waiting.append(to)
    return found


@pytest.mark.parametrize("share", [0.9, 0.97])
def test_findings_grow_down_to_a_share_of_the_threshold(share):
    values, mask, threshold = score(), brain(), 0.97
    found = threshold_map(
        Volume(values, np.eye(4)), Volume(mask, np.eye(4)), threshold, 2, grow_share=share
    )
    open_to_growth = (values > share * threshold) & mask
    expected = np.zeros(SHAPE, bool)
    for seed in map(tuple, np.argwhere((values > threshold) & mask)):
        piece = piece_of(open_to_growth, seed)
        if len(piece) >= 2:
            expected[tuple(np.transpose(list(piece)))] = True
    np.testing.assert_array_equal(found.data > 0, expected)
    plain = threshold_map(Volume(values, np.eye(4)), Volume(mask, np.eye(4)), threshold, 2)
    assert 0 < plain.data.sum() < expected.sum() < open_to_growth.sum()


def test_nothing_grows_without_a_seed():
    values = np.full(SHAPE, 0.7, np.float32)
    volume, mask = Volume(values, np.eye(4)), Volume(brain(), np.eye(4))
    assert not threshold_map(volume, mask, 0.8, 0, grow_share=0.5).data.any()
    values[7, 6, 6] = 0.9
    grown = threshold_map(volume.with_data(values), mask, 0.8, 0, grow_share=0.5)
    np.testing.assert_array_equal(grown.data > 0, brain())
