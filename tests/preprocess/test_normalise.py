from __future__ import annotations

import numpy as np
import pytest

from anatomaly.errors import PreparationError
from anatomaly.preprocess.normalise import normalise_intensity, undo_normalise
from anatomaly.volume import Volume


def _scan(low=-3.0, high=900.0):
    data = np.random.default_rng(0).uniform(low, high, (23, 31, 17)).astype(np.float32)
    mask = np.zeros(data.shape, dtype=bool)
    mask[4:-4, 5:-5, 3:-3] = True
    return Volume(data, np.diag([1, 2, 3, 1.0])), Volume(mask, np.diag([1, 2, 3, 1.0]))


def test_percentiles_inside_the_mask_become_0_and_the_high_value():
    scan, mask = _scan()
    image, record = normalise_intensity(scan, mask)
    inside = np.sort(scan.data[mask.data])
    assert record.low == pytest.approx(inside[int(0.005 * inside.size)], abs=1.0)
    assert record.high == pytest.approx(inside[int(0.995 * inside.size)], abs=1.0)
    assert image.data.dtype == np.float32
    assert image.data[~mask.data].max() == 0
    assert image.data.min() == 0 and image.data.max() < 0.82  # uniform values: none far above
    share = float(np.mean(image.data[mask.data] > 0.8))
    assert share == pytest.approx(0.005, abs=0.002)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-4, 9), (1e6, 1e9), (-1e-3, 1e-3)])
def test_undo_restores_what_was_not_clipped(low, high):
    scan, mask = _scan(low, high)
    image, record = normalise_intensity(scan, mask)
    back = undo_normalise(image, record)
    kept = mask.data & (image.data > 0) & (image.data < 1)
    assert kept.sum() > 0.98 * mask.data.sum()
    np.testing.assert_allclose(
        back.data[kept], scan.data[kept], atol=2e-6 * (high - low), rtol=1e-6
    )


def test_a_constant_brain_is_refused():
    scan, mask = _scan()
    with pytest.raises(PreparationError, match="one intensity only"):
        normalise_intensity(scan.with_data(np.full(scan.shape, 5.0)), mask)


def test_an_empty_mask_is_refused():
    scan, mask = _scan()
    with pytest.raises(PreparationError, match="--brain-mask"):
        normalise_intensity(scan, mask.with_data(np.zeros(mask.shape, dtype=bool)))
