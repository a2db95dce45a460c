from __future__ import annotations

import numpy as np
import pytest

from anatomaly.report.grey_window import grey_window


def _brain() -> np.ndarray:
    return np.random.default_rng(0).normal(500, 60, 20_000).astype(np.float32)


def test_a_sound_brain_has_its_percentiles():
    brain = _brain()
    np.testing.assert_allclose(grey_window(brain), np.percentile(brain, (0.5, 99.7)))


@pytest.mark.parametrize("value", [60000, -2e6])
def test_spikes_do_not_darken_the_picture(value):
    brain = _brain()
    spoilt = np.append(brain, np.full(1500, value, dtype=np.float32))
    np.testing.assert_allclose(grey_window(spoilt), grey_window(brain), atol=1)


def test_one_value_has_a_window():
    black, white = grey_window(np.full(9, 3.0))
    assert black == 3 and white > black
