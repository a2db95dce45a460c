"""Three-dimensional Canny against SimpleITK, a sphere of known radius, and brute force.

SimpleITK finds zero crossings of the second directional derivative, ours keeps maxima of the
gradient: the same surface up to a voxel, so agreement is asked for within 1.5 voxels.
"""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from anatomaly.model.anatomy_edges import (
    HIGH,
    LOW,
    SIGMA_VOXELS,
    anatomy_edges,
    canny_3d,
    edge_mask,
    gradient,
    hysteresis,
    smooth,
    suppress_non_maxima,
    tissue_levels,
)
from anatomaly.model.one_hot import LEVELS

SHAPE = (46, 52, 40)


def batch(array):
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]


def folded_tissue(shape=SHAPE):
    """Tissue numbers of nested shells whose surface is folded like a cortex."""
    i, j, k = np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2
    radius = np.sqrt(i**2 + j**2 + k**2)
    folds = np.sin(i / 2.3) * np.sin(j / 2.6) * np.sin(k / 2.1)
    tissue = np.zeros(shape, np.int64)
    tissue[radius + folds < 18.5] = 1
    tissue[radius + 2.0 * folds < 15.5] = 2
    tissue[radius + 2.5 * folds < 11.5] = 3
    tissue[radius < 4] = 1
    return tissue


def one_hot(tissue):
    return (
        torch.nn.functional.one_hot(torch.from_numpy(tissue), 4).permute(3, 0, 1, 2)[None].float()
    )


def share_near(points, target, voxels=1.5):
    """Share of the points that have a target within so many voxels."""
    return (ndimage.distance_transform_edt(~target)[points] <= voxels).mean()


@pytest.fixture(name="folded", scope="module")
def fixture_folded():
    image = tissue_levels(one_hot(folded_tissue()))
    theirs = sitk.CannyEdgeDetection(
        sitk.GetImageFromArray(image[0, 0].numpy()),
        lowerThreshold=LOW,
        upperThreshold=HIGH,
        variance=[SIGMA_VOXELS**2] * 3,
    )
    return canny_3d(image)[0, 0].numpy() > 0, sitk.GetArrayFromImage(theirs) > 0


def test_agrees_with_simpleitk_on_a_folded_phantom(folded):
    ours, theirs = folded
    assert 0.97 < share_near(theirs, ours) <= 1
    assert 0.97 < share_near(ours, theirs) <= 1
    assert 0.6 < ours.sum() / theirs.sum() < 1.6  # neither doubled nor broken


def test_every_tissue_boundary_has_an_edge_and_every_edge_a_boundary(folded):
    tissue = folded_tissue()
    cube = np.ones((3, 3, 3))
    boundary = ndimage.grey_dilation(tissue, footprint=cube) != ndimage.grey_erosion(
        tissue, footprint=cube
    )
    assert share_near(boundary, folded[0]) > 0.97
    assert share_near(folded[0], boundary) > 0.995


@pytest.fixture(name="sphere", scope="module")
def fixture_sphere():
    """A smooth ball of radius 11.3 about a centre that is no voxel; distance to its surface."""
    centre = np.array([19.3, 22.6, 20.8]).reshape(3, 1, 1, 1)
    depth = 11.3 - np.linalg.norm(np.indices((40, 46, 42)) - centre, axis=0)
    return canny_3d(batch(0.5 * np.clip(depth + 0.5, 0, 1)))[0, 0].numpy() > 0, np.abs(depth)


def test_edges_lie_on_the_surface_of_a_sphere(sphere):
    edges, distance = sphere
    assert distance[edges].max() < 1.0
    assert distance[edges].mean() < 0.4
    assert share_near(distance < 0.5, edges, 1.0) > 0.98  # and nowhere is the surface missed


def test_edges_are_one_voxel_thick(sphere):
    # a plane of one voxel on the lattice covers between 1 and √3 voxels per voxel of surface
    edges, _ = sphere
    assert 0.85 < edges.sum() / (4 * np.pi * 11.3**2) < 1.75


def test_a_plane_gives_one_layer_on_every_axis():
    for axis in range(3):
        image = np.zeros((16, 18, 20), np.float32)
        np.moveaxis(image, axis, 0)[7:] = 0.4
        edges = canny_3d(batch(image))[0, 0].numpy() > 0
        layers = np.moveaxis(edges, axis, 0).reshape(image.shape[axis], -1).mean(1)
        assert layers.sum() == 1 and layers.argmax() in (6, 7)


def test_a_patch_has_the_edges_of_the_whole():
    image = tissue_levels(one_hot(folded_tissue()))
    whole, patch = canny_3d(image), canny_3d(image[:, :, 6:40, 8:44, 5:37])
    m = 6  # smoothing, gradient and suppression reach 3 + 1 + 1 voxels
    ours, theirs = patch[0, 0, m:-m, m:-m, m:-m], whole[0, 0, 6:40, 8:44, 5:37][m:-m, m:-m, m:-m]
    assert ours.sum() > 500
    assert (ours != theirs).float().mean() < 1e-3  # only hysteresis may reach further


def test_constant_image_has_no_edges_and_borders_make_none():
    assert canny_3d(torch.full((2, 1, 12, 14, 10), 0.7)).sum() == 0


def test_members_of_a_batch_do_not_meet():
    first = tissue_levels(one_hot(folded_tissue((24, 26, 28))))
    second = first.flip(2)
    both = canny_3d(torch.cat([first, second]))
    assert torch.equal(both[:1], canny_3d(first))
    assert torch.equal(both[1:], canny_3d(second))


def test_half_precision_around_it_changes_next_to_nothing():
    # the thresholds never see half precision; the rounding of a direction to an axis may
    tissue = one_hot(folded_tissue())
    with torch.autocast("cpu", torch.bfloat16):
        half = anatomy_edges(tissue)[0, 0].numpy() > 0
    full = anatomy_edges(tissue)[0, 0].numpy() > 0
    assert (half != full).sum() < 0.01 * full.sum()
    assert share_near(half, full, 1.0) == share_near(full, half, 1.0) == 1


def test_oriented_edges_lie_at_the_same_voxels_and_point_to_the_brighter_side():
    tissue = one_hot(folded_tissue())
    plain, oriented = anatomy_edges(tissue), anatomy_edges(tissue, "oriented")
    assert oriented.shape == (1, 3, *plain.shape[2:])
    assert torch.equal(edge_mask(oriented), plain) and torch.equal(edge_mask(plain), plain)
    levels = smooth(tissue_levels(tissue), 0.7)
    expected = 2.7 * torch.stack(torch.gradient(levels[0, 0]))
    torch.testing.assert_close(oriented[0], expected * plain[0])


@pytest.mark.parametrize(("dark", "bright"), [(1, 2), (2, 3), (0, 1), (1, 3), (0, 3)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_height_of_a_flat_edge_is_about_the_step_between_its_tissues(dark, bright, axis):
    tissue = np.full((20, 20, 20), dark, np.int64)
    np.moveaxis(tissue, axis, 0)[10:] = bright
    edges = anatomy_edges(one_hot(tissue), "oriented")[0, :, 4:-4, 4:-4, 4:-4]
    height = edges.norm(dim=0)[edges.any(0)]
    step = LEVELS[bright] - LEVELS[dark]
    assert ((height > 0.9 * step) & (height < 1.1 * step)).all()
    along = edges[axis][edges.any(0)]
    torch.testing.assert_close(along, height)


def test_smoothing_is_a_gaussian():
    image = np.random.default_rng(0).random((21, 17, 19)).astype(np.float32)
    ours = smooth(batch(image), 0.7)[0, 0].numpy()
    expected = ndimage.gaussian_filter(image, 0.7, mode="nearest", radius=3)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_gradient_is_that_of_numpy():
    image = np.random.default_rng(1).random((9, 11, 7)).astype(np.float32)
    ours = gradient(batch(image))[0].numpy()
    np.testing.assert_allclose(ours, np.stack(np.gradient(image)), atol=1e-6)


def test_suppression_by_brute_force():
    rng = np.random.default_rng(2)
    magnitude = rng.random((6, 7, 5)).astype(np.float32)
    direction = rng.normal(size=(3, 6, 7, 5)).astype(np.float32)
    low = 0.3
    ours = suppress_non_maxima(batch(magnitude), torch.from_numpy(direction)[None], low)[0, 0]
    padded = np.pad(magnitude, 1)
    axes = [np.array(d) - 1 for d in np.ndindex(3, 3, 3) if d != (1, 1, 1)]
    for place in np.ndindex(magnitude.shape):
        slope = direction[(slice(None), *place)]
        axis = max(axes, key=lambda a: abs(slope @ a) / np.linalg.norm(a))
        here = np.array(place) + 1
        around = [padded[tuple(here + s * axis)] for s in (1, -1)]
        peak = magnitude[place] > low and magnitude[place] >= max(around)
        assert bool(ours[place]) == peak, place


@pytest.mark.parametrize("seed", range(4))
def test_hysteresis_by_labelling(seed):
    rng = np.random.default_rng(seed)
    weak = rng.random((15, 17, 13)) < 0.12
    strong = weak & (rng.random(weak.shape) < 0.1)
    labels, _ = ndimage.label(weak, structure=np.ones((3, 3, 3)))
    expected = weak & np.isin(labels, np.unique(labels[strong]))
    ours = hysteresis(torch.from_numpy(weak)[None, None], torch.from_numpy(strong)[None, None], 500)
    np.testing.assert_array_equal(ours[0, 0].numpy(), expected)
    assert strong.sum() < expected.sum() < weak.sum()


def test_hysteresis_follows_a_chain_for_so_many_voxels():
    weak = torch.ones(1, 1, 50, 1, 1, dtype=torch.bool)
    strong = torch.zeros_like(weak)
    strong[0, 0, 0] = True
    assert hysteresis(weak, strong, most_steps=32).sum() == 33
