"""Reading through coordinates against scipy; the random map stays near where it was."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.training.synthesis.deform import (
    Push,
    patch_grid,
    push_coordinates,
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


# --- mass effect -----------------------------------------------------------------------------

SIZE = (41, 37, 45)
CENTRE = torch.tensor([20.0, 18.0, 22.0])


def pushed(reach, shift, size=SIZE, centre=CENTRE):
    """Where each voxel reads, without any other deformation."""
    return push_coordinates(patch_grid((0, 0, 0), size), Push(centre, reach, shift))


def test_a_push_by_its_formula():
    found = pushed(9.0, 3.0).numpy()
    places = np.indices(SIZE).astype(float)
    away = (places - CENTRE.numpy().reshape(3, 1, 1, 1)) / 9.0
    u = np.sqrt((away**2).sum(0))
    # direction times f(u) = u e^((1 − u²) / 2), of which away is u times the direction
    expected = places - 3.0 * away * np.exp((1 - u**2) / 2)
    clipped = np.clip(expected, 0, (np.array(SIZE) - 1).reshape(3, 1, 1, 1))
    np.testing.assert_allclose(found, clipped, atol=2e-4)


def test_nothing_moves_at_the_centre_and_most_at_the_reach():
    found = pushed(9.0, 3.0)
    centre = tuple(int(n) for n in CENTRE)
    np.testing.assert_allclose(found[(slice(None), *centre)], CENTRE, atol=1e-4)
    moved = (found - patch_grid((0, 0, 0), SIZE)).norm(dim=0)
    distance = (patch_grid((0, 0, 0), SIZE) - CENTRE.view(3, 1, 1, 1)).norm(dim=0)
    assert moved.max().item() == pytest.approx(3.0, abs=1e-3)
    furthest = distance.flatten()[moved.flatten().argmax()]
    assert furthest.item() == pytest.approx(9.0, abs=0.01)
    # three reaches away: 3 e^(−4) of the shift is left
    assert moved[20, 18, 22 + 18].item() == pytest.approx(3 * 2 * np.exp(-1.5), abs=0.01)
    assert moved[distance > 26].max() < 0.5


def test_tissue_moves_outwards():
    """A voxel reads from nearer to the centre, and a thin shell lands further out."""
    places = patch_grid((0, 0, 0), SIZE)
    away = places - CENTRE.view(3, 1, 1, 1)
    shift = places - pushed(9.0, 3.0)
    distance = away.norm(dim=0)
    near = (distance > 0) & (distance < 16)
    along = (shift * away).sum(0) / (distance.clamp(min=1e-6) * shift.norm(dim=0).clamp(min=1e-9))
    assert along[near].min() > 0.999
    ball = (distance < 6).float()
    read = pushed(9.0, 3.0).round().long()
    grown = ball[read[0], read[1], read[2]]
    # what was within 6 voxels ends where d − 3 (d / 9) e^((1 − (d/9)²) / 2) = 6: at 9 voxels,
    # and reading the nearest voxel adds up to half a diagonal
    assert 8.5 < float(distance[grown > 0].max()) < 9.9
    assert grown.sum() > 2.5 * ball.sum()


def folds(reach, shift):
    """Voxels where the order of neighbours is turned round along some axis."""
    found = pushed(reach, shift, (61, 61, 61), torch.tensor([30.0, 30.0, 30.0]))
    inner = found[:, 10:-10, 10:-10, 10:-10]
    return sum(int((inner[axis].diff(dim=axis) <= 0).sum()) for axis in range(3))


def test_no_fold_below_six_tenths_of_the_reach():
    """1 − (shift / reach) √e is the slope at the centre: it turns at .6065."""
    assert folds(10.0, 4.0) == folds(10.0, 5.9) == 0
    assert folds(10.0, 7.0) > 0


def test_a_push_reads_through_what_was_deformed_before():
    """Coordinates that were already shifted are read at the pushed place."""
    before = patch_grid((10, 20, 30), SIZE)
    found = push_coordinates(before, Push(CENTRE, 9.0, 3.0))
    expected = pushed(9.0, 3.0) + torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1, 1)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
