"""A volume knows where it lies, and cannot be made without a usable place."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anatomaly.errors import GeometryError
from anatomaly.volume import Scan, Volume

OBLIQUE = np.array(
    [[0.0, -2.5, 0, 12], [1.2, 0, 0, -40], [0, 0, -5.5, 77], [0, 0, 0, 1]], dtype=np.float32
)


@given(st.tuples(*[st.integers(1, 9)] * 3))
@settings(max_examples=30, deadline=None)
def test_shape_and_spacing_follow_the_array_and_the_affine(shape: tuple[int, int, int]):
    volume = Volume(np.zeros(shape, dtype=np.int16), OBLIQUE)
    assert volume.shape == shape
    np.testing.assert_allclose(volume.spacing_mm, [1.2, 2.5, 5.5], rtol=1e-6)
    assert volume.voxel_volume_mm3 == pytest.approx(1.2 * 2.5 * 5.5, rel=1e-6)
    assert volume.affine.dtype == np.float64


@pytest.mark.parametrize("shape", [(4,), (4, 5), (4, 5, 6, 1), ()])
def test_other_than_three_axes_are_refused(shape: tuple[int, ...]):
    with pytest.raises(GeometryError, match="expected a 3D array"):
        Volume(np.zeros(shape), np.eye(4))


def test_unusable_affine_is_refused():
    with pytest.raises(GeometryError, match="singular"):
        Volume(np.zeros((2, 3, 4)), np.diag([1.0, 1.0, 0.0, 1.0]))


def test_other_data_on_the_same_grid():
    volume = Volume(np.zeros((2, 3, 5), dtype=np.float32), OBLIQUE)
    mask = volume.with_data(np.ones((2, 3, 5), dtype=bool))
    assert mask.data.dtype == bool
    assert mask.data.all()
    assert not volume.data.any()
    assert np.array_equal(mask.affine, volume.affine)
    with pytest.raises(GeometryError, match=r"\(2, 5, 3\) does not fit the grid \(2, 3, 5\)"):
        volume.with_data(np.zeros((2, 5, 3)))


def test_volumes_and_scans_are_frozen():
    volume = Volume(np.zeros((2, 3, 5)), OBLIQUE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        volume.data = np.ones((2, 3, 5))  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Scan(volume=volume, name="x").name = "y"  # type: ignore[misc]


def test_two_scans_share_no_metadata():
    volume = Volume(np.zeros((2, 3, 5)), OBLIQUE)
    one, two = Scan(volume, "one"), Scan(volume, "two")
    one.metadata["key"] = 1
    assert two.metadata == {}
