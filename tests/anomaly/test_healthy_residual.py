"""What healthy people score at each place: means by hand, both hemispheres, empty places."""

import numpy as np
import pytest

from anatomaly.anomaly.healthy_residual import (
    ALLOWANCE,
    measure_healthy_residual,
    normalise_residual,
    pool_cells,
)
from anatomaly.errors import GeometryError

SHAPE = (32, 40, 24)


def people(rng, count=3):
    """Residual .1 at the front, .3 at the back, of brains that fill most of the grid."""
    for _ in range(count):
        residual = np.full(SHAPE, 0.1, np.float32)
        residual[:, :20] = 0.3
        mask = np.ones(SHAPE, bool)
        mask[:4], mask[-4:] = False, False
        residual[~mask] = 99.0
        yield pool_cells(residual + 0.01 * rng.standard_normal(SHAPE), mask)


def test_means_of_places_and_nothing_from_outside_the_brain():
    found = measure_healthy_residual(list(people(np.random.default_rng(0))))
    assert found.shape == (8, 10, 6) and found.dtype == np.float32
    assert found[:, 8:].mean() == pytest.approx(0.1, abs=0.01)
    assert found[:, :2].mean() == pytest.approx(0.3, abs=0.01)
    assert found[0].min() + 0.01 > 0.1 and found.max() < 0.32  # also where nobody has brain


def test_both_hemispheres_are_alike():
    residual = np.zeros(SHAPE, np.float32)
    residual[4:8, 8:16, 8:16] = 1
    found = measure_healthy_residual([pool_cells(residual, np.ones(SHAPE, bool))])
    np.testing.assert_allclose(found, found[::-1], rtol=1e-5)
    assert found[1, 2:4, 2:4].mean() > 5 * found[4].mean()


def test_the_same_residual_means_more_where_healthy_people_have_none():
    healthy = np.zeros((8, 10, 6), np.float32)
    healthy[:, :5] = 0.06
    found = normalise_residual(np.full(SHAPE, 0.4, np.float32), healthy)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 24:], 0.4, rtol=1e-6)
    np.testing.assert_allclose(found[:, :16], 0.4 * ALLOWANCE / (ALLOWANCE + 0.06), rtol=1e-6)


def test_nobody_or_an_odd_grid_is_refused():
    with pytest.raises(GeometryError, match="no healthy residual"):
        measure_healthy_residual([])
    odd = np.zeros((30, 40, 24), np.float32)
    with pytest.raises(GeometryError, match="multiples of 4"):
        pool_cells(odd, odd > 0)
