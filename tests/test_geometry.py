"""Geometry on oblique affines, odd shapes and unequal spacing, each by two routes."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from anatomaly.errors import GeometryError, ScanError
from anatomaly.geometry import (
    MIDPLANE_INDEX,
    TEMPLATE_AFFINE,
    TEMPLATE_SHAPE,
    apply_affine,
    check_affine,
    mirror,
    mirrored_index,
    spacing_mm,
    voxel_to_voxel,
    voxel_volume_mm3,
)


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Rotated, unequally spaced, sometimes left-handed affines with the origin off zero."""
    angles = [draw(st.floats(-180, 180)) for _ in range(3)]
    spacing = [draw(st.floats(0.2, 12)) for _ in range(3)]
    flips = [draw(st.sampled_from([-1, 1])) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(
        np.multiply(spacing, flips)
    )
    affine[:3, 3] = [draw(st.floats(-300, 300)) for _ in range(3)]
    return affine


@given(affines())
@settings(max_examples=50, deadline=None)
def test_spacing_and_volume_agree_with_nibabel(affine: np.ndarray):
    np.testing.assert_allclose(
        spacing_mm(affine), nib.affines.voxel_sizes(affine), rtol=1e-12, atol=0
    )
    edges = affine[:3, :3].T
    triple = abs(np.dot(edges[0], np.cross(edges[1], edges[2])))
    assert voxel_volume_mm3(affine) == pytest.approx(triple, rel=1e-6, abs=1e-8)


def test_volume_of_a_sheared_voxel_is_not_the_product_of_its_edges():
    sheared = np.array([[2.0, 1.0, 0, 5], [0, 3.0, 0, 6], [0, 0, 4.0, 7], [0, 0, 0, 1]])
    assert voxel_volume_mm3(sheared) == pytest.approx(24.0)
    assert np.prod(spacing_mm(sheared)) > 25


@given(affines(), st.lists(st.tuples(*[st.floats(-300, 300)] * 3), min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_points_map_as_homogeneous_coordinates_do(affine: np.ndarray, points: list):
    homogeneous = np.concatenate([np.array(points), np.ones((len(points), 1))], axis=1)
    expected = (affine @ homogeneous.T).T[:, :3]
    np.testing.assert_allclose(apply_affine(affine, np.array(points)), expected, atol=1e-9)


def test_any_leading_shape_is_kept():
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    points = np.arange(2 * 5 * 3, dtype=float).reshape(2, 5, 3)
    assert apply_affine(affine, points).shape == (2, 5, 3)
    assert np.array_equal(apply_affine(affine, points)[1, 4], points[1, 4] * (2, 3, 4))


@given(affines(), affines(), affines())
@settings(max_examples=50, deadline=None)
def test_voxel_to_voxel_is_the_way_through_mm(one: np.ndarray, two: np.ndarray, world: np.ndarray):
    index = np.array([3.0, 11.0, 7.0])
    in_mm = apply_affine(world, apply_affine(one, index))
    direct = apply_affine(voxel_to_voxel(one, two, world), index)
    np.testing.assert_allclose(apply_affine(two, direct), in_mm, atol=1e-6)
    there_and_back = voxel_to_voxel(two, one) @ voxel_to_voxel(one, two)
    np.testing.assert_allclose(there_and_back, np.eye(4), atol=1e-6)


@given(affines())
@settings(max_examples=50, deadline=None)
def test_sound_affines_are_returned_unchanged(affine: np.ndarray):
    assert np.array_equal(check_affine(affine), affine)
    rounded = affine.astype(np.float32)
    assert np.array_equal(check_affine(rounded), rounded.astype(np.float64))
    assert check_affine(rounded).dtype == np.float64


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.eye(3), r"expected shape \(4, 4\), found \(3, 3\)"),
        (np.zeros((4, 4)), "last row"),
        (np.diag([0.0, 0, 0, 1]), "singular"),
        (np.diag([1.0, 0, 1, 1]), "singular"),
        (np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
        (np.diag([1.0, np.nan, 1, 1]), "NaN or Inf"),
        (np.diag([1.0, np.inf, 1, 1]), "NaN or Inf"),
        (np.diag([1.0, 1, 1, 2]), "last row"),
    ],
)
def test_unusable_affines_are_refused(affine: np.ndarray, message: str):
    with pytest.raises(GeometryError, match=f"the sform: .*{message}"):
        check_affine(affine, "the sform")
    assert issubclass(GeometryError, ScanError)


def test_small_voxels_are_not_taken_for_singular():
    check_affine(np.diag([1e-3, 1e-3, 5e-3, 1.0]))


def test_template_grid_holds_the_template_brain():
    """The bounding box of the brain in MNI152 (x -72 to 72, y -107 to 73, z -71 to 81 mm) fits."""
    low = apply_affine(TEMPLATE_AFFINE, np.zeros(3))
    high = apply_affine(TEMPLATE_AFFINE, np.array(TEMPLATE_SHAPE) - 1.0)
    assert (low <= (-72, -107, -71)).all()
    assert (high >= (72, 73, 81)).all()
    assert all(n % 16 == 0 for n in TEMPLATE_SHAPE)


def test_the_mirror_exchanges_the_hemispheres_about_the_midplane():
    x = TEMPLATE_AFFINE[0, 0] * np.arange(160) + TEMPLATE_AFFINE[0, 3]
    assert x[MIDPLANE_INDEX] == 0
    across = mirrored_index(np.arange(160))
    np.testing.assert_array_equal(x[across][1:], -x[1:])
    volume = torch.rand(2, 1, 160, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mirror(volume), volume[:, :, torch.from_numpy(across)])
    assert torch.equal(mirror(mirror(volume)), volume)
