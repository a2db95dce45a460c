"""Scans of very many voxels become coarser, and what is found on them comes back."""

from __future__ import annotations

import numpy as np
import pytest

from anatomaly.geometry import apply_affine
from anatomaly.preprocess import fine_grid
from anatomaly.preprocess.bias_field import BiasField
from anatomaly.preprocess.fine_grid import coarsen, refine
from anatomaly.volume import Volume

OBLIQUE = np.array(
    [[0.19, 0.03, 0.2, -30], [-0.02, 0.2, 0.5, -40], [0.01, -0.02, 1.4, -20], [0, 0, 0, 1.0]]
)


@pytest.fixture
def ramp(monkeypatch: pytest.MonkeyPatch) -> Volume:
    """(41, 38, 20): the x coordinate in mm plus 100, on an oblique grid of .19 x .2 x 1.5 mm."""
    monkeypatch.setattr(fine_grid, "MOST_VOXELS", 9_000)
    places = apply_affine(OBLIQUE, np.argwhere(np.ones((41, 38, 20))).astype(float))
    return Volume((places[:, 0] + 100).reshape(41, 38, 20).astype(np.float32), OBLIQUE)


def test_values_stay_where_they_are_in_mm(ramp: Volume):
    coarse = coarsen(ramp)
    assert coarse.shape == (21, 19, 20)
    assert coarse.data.dtype == np.float32
    places = apply_affine(coarse.affine, np.argwhere(np.ones(coarse.shape)).astype(float))
    inside = coarse.data[:20]  # the last plane was averaged with itself
    expected = (places[:, 0] + 100).reshape(coarse.shape)[:20]
    np.testing.assert_allclose(inside, expected, atol=1e-3)


def test_the_finest_axis_goes_first_and_none_beyond_1_mm(
    ramp: Volume, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fine_grid, "MOST_VOXELS", 20_000)
    assert coarsen(ramp).shape == (21, 38, 20)
    monkeypatch.setattr(fine_grid, "MOST_VOXELS", 10)
    spacing = coarsen(ramp).spacing_mm
    np.testing.assert_allclose(spacing, ramp.spacing_mm * (4, 4, 1))


def test_ordinary_scans_are_not_touched(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fine_grid, "MOST_VOXELS", 10)
    scan = Volume(np.zeros((9, 9, 9), dtype=np.float32), np.diag([0.51, 0.51, 0.51, 1]))
    assert coarsen(scan) is scan
    mask = scan.with_data(scan.data > 0)
    record = BiasField(scan, 0.0)
    assert refine(mask, record, scan) == (mask, record)


def test_mask_and_field_come_back_onto_the_fine_grid(ramp: Volume):
    coarse = coarsen(ramp)
    mask = coarse.with_data(np.zeros(coarse.shape, dtype=bool))
    mask.data[5:15, 4:12, 3:17] = True
    fine_mask, record = refine(mask, BiasField(coarse, 3.0), ramp)
    assert np.array_equal(fine_mask.affine, ramp.affine)
    expected = np.zeros(ramp.shape, dtype=bool)
    expected[10:30, 8:24, 3:17] = True
    assert np.array_equal(fine_mask.data, expected)
    assert record is not None
    assert record.offset == 3.0
    assert record.field.data.min() > 0
    np.testing.assert_allclose(record.field.data[2:38, 2:36], ramp.data[2:38, 2:36], atol=1e-3)


def test_no_field_stays_none(ramp: Volume):
    coarse = coarsen(ramp)
    assert refine(coarse.with_data(coarse.data > 0), None, ramp)[1] is None
