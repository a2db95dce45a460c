"""Reading through coordinates against scipy; the random map stays near where it was."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.training.synthesis.deform import (
    patch_grid,
    random_affine,
    random_deformation,
    read_linear,
    read_nearest,
)

SHAPE = (11, 14, 9)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def coordinates(margin):
    """Places inside and up to `margin` voxels outside the volume, off the voxel centres."""
    draws = np.random.default_rng(1).random((3, 6, 7, 8))
    return draws * (np.array(SHAPE).reshape(3, 1, 1, 1) - 1 + 2 * margin) - margin


@pytest.mark.parametrize("margin", [0.0, 2.5])
def test_linear_reading(margin):
    volume = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    where = coordinates(margin)
    expected = ndimage.map_coordinates(volume, where, order=1, mode="grid-constant", cval=0)
    found = read_linear(torch.tensor(volume), torch.tensor(where, dtype=torch.float32))
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("margin", [0.0, 2.5])
def test_nearest_reading(margin):
    volume = np.random.default_rng(0).integers(1, 200, SHAPE).astype(np.uint8)
    where = coordinates(margin)
    found = read_nearest(torch.tensor(volume), torch.tensor(where, dtype=torch.float32))
    index = np.rint(where).astype(int)
    inside = np.all((index >= 0) & (index < np.array(SHAPE).reshape(3, 1, 1, 1)), axis=0)
    clipped = np.clip(index, 0, np.array(SHAPE).reshape(3, 1, 1, 1) - 1)
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found.numpy(), volume[tuple(clipped)] * inside)
    if margin == 0:
        expected = ndimage.map_coordinates(volume, where, order=0)
        np.testing.assert_array_equal(found.numpy(), expected)


def test_patch_grid_counts_template_voxels():
    grid = patch_grid((4, 0, 10), (3, 5, 2))
    assert grid.shape == (3, 3, 5, 2)
    assert grid[:, 2, 4, 1].tolist() == [6.0, 4.0, 11.0]


def test_affine_keeps_its_bounds():
    for seed in range(20):
        affine = random_affine(rng(seed), degrees=0, scale=0.08, shift=5).numpy()
        change = affine[:, :3] - np.eye(3)
        assert np.abs(np.diag(change)).max() <= 0.08 + 1e-6
        assert np.abs(change - np.diag(np.diag(change))).max() <= 0.032 + 1e-6
        centre = (np.array(TEMPLATE_SHAPE) - 1) / 2
        moved = affine[:, :3] @ centre + affine[:, 3] - centre
        assert 0 < np.abs(moved).max() <= 5 + 1e-3


def test_rotation_alone_is_a_rotation():
    matrix = random_affine(rng(3), degrees=8, scale=0, shift=0)[:, :3].double().numpy()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-6)
    assert 0.1 < np.degrees(np.arccos((np.trace(matrix) - 1) / 2)) < 14


def test_deformation_is_reproducible_smooth_and_moderate():
    start, size = (40, 60, 50), (24, 32, 28)
    first, second = (random_deformation(rng(5), start, size) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, random_deformation(rng(6), start, size))
    away = (first - patch_grid(start, size)).norm(dim=0)
    assert 0.1 < away.max() < 45
    step = torch.stack([(first.diff(dim=a + 1)[a] - 1).abs().max() for a in range(3)])
    assert step.max() < 0.9  # never folds over
