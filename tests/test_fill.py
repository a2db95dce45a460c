"""Filling: pseudo-healthy deep inside, the scan outside to the last bit, no step between."""

import numpy as np
import pytest

from anatomaly.errors import ConfigError, GeometryError
from anatomaly.fill import FillConfig, fill_lesions
from anatomaly.volume import Volume

AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])


def volumes():
    rng = np.random.default_rng(1)
    scan = Volume(rng.normal(500, 50, (30, 24, 18)).astype(np.float32), AFFINE)
    places = np.stack(np.indices(scan.shape), -1) * (1.0, 1.5, 2.0)
    away = np.linalg.norm(places - (15, 18, 18), axis=-1)
    return scan, scan.with_data(np.full_like(scan.data, 100)), scan.with_data(away < 9), away


def test_inside_outside_and_between():
    scan, healthy, mask, away = volumes()
    filled = fill_lesions(scan, healthy, mask, config=FillConfig(border_mm=3.0))
    out = filled.volume.data
    np.testing.assert_array_equal(out[~mask.data], scan.data[~mask.data])
    np.testing.assert_array_equal(filled.region, mask.data)
    np.testing.assert_allclose(out[away < 5], 100, rtol=1e-6)
    between = mask.data & (away > 6)
    assert (out[between] >= 100 - 1e-3).all() and (out[between] <= scan.data[between]).all()


def test_weight_along_an_axis():
    """A slab of 9 voxels of 1 mm, border 4 mm: 3t² − 2t³ at t = 1/4, 1/2, 3/4, 1."""
    scan = Volume(np.zeros((15, 40, 40), np.float32), np.eye(4))
    mask = np.zeros(scan.shape, bool)
    mask[3:12] = True
    filled = fill_lesions(
        scan, scan.with_data(np.ones_like(scan.data)), scan.with_data(mask), None, FillConfig(4.0)
    )
    expected = [0.15625, 0.5, 0.84375, 1, 1, 1, 0.84375, 0.5, 0.15625]
    np.testing.assert_allclose(filled.volume.data[3:12, 20, 20], expected, atol=1e-6)


def test_a_hard_edge():
    scan, healthy, mask, _ = volumes()
    filled = fill_lesions(scan, healthy, mask, config=FillConfig(border_mm=0))
    np.testing.assert_array_equal(filled.volume.data[mask.data], 100)


def test_growth_stays_in_the_brain_and_is_measured_in_mm():
    scan, healthy, mask, away = volumes()
    brain = scan.with_data(np.stack(np.indices(scan.shape), -1)[..., 0] < 20)
    grown = fill_lesions(scan, healthy, mask, brain, FillConfig(grow_mm=3.0)).region
    assert not (grown & ~mask.data & ~brain.data).any()
    assert (grown & (away > 9)).any() and not (grown & (away > 12)).any()
    assert grown[(away < 10.5) & brain.data].all()


def test_nothing_to_fill():
    scan, healthy, mask, _ = volumes()
    empty = mask.with_data(np.zeros_like(mask.data))
    filled = fill_lesions(scan, healthy, empty, config=FillConfig(grow_mm=2))
    np.testing.assert_array_equal(filled.volume.data, scan.data)
    assert not filled.region.any()


def test_refusals():
    scan, healthy, mask, _ = volumes()
    with pytest.raises(GeometryError, match="another scan"):
        fill_lesions(scan, healthy, Volume(mask.data, np.eye(4)))
    with pytest.raises(ConfigError, match="border_mm"):
        FillConfig(border_mm=-1)
