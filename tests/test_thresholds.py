"""Thresholds that keep healthy brains within a budget, by hand."""

import numpy as np
import pytest

from anatomaly.thresholds import choose_threshold, healthy_threshold


def test_threshold_keeps_the_budget_in_half_of_the_brains():
    """Eleven brains of 100 voxels of 1 mL: scores 0.01 … 1.00, times a factor each."""
    scores = np.arange(1, 101).reshape(5, 5, 4) / 100
    maps = [scores * factor for factor in np.linspace(0.1, 1.0, 11)]
    threshold = healthy_threshold(maps, 1.0, half_ml=2.0, most_ml=90.0)
    volumes = [(m > threshold).sum() for m in maps]
    assert np.median(volumes) <= 2
    lower = [(m > 0.9 * threshold).sum() for m in maps]
    assert np.median(lower) > 2


def test_threshold_keeps_the_budget_in_nearly_all():
    maps = [np.full((10, 10, 1), 0.01) for _ in range(19)] + [np.arange(100.0).reshape(10, 10, 1)]
    assert healthy_threshold(maps, 1.0, half_ml=50.0, most_ml=5.0) > 0.01
    assert healthy_threshold(maps[:-1], 1.0, half_ml=50.0, most_ml=5.0) == pytest.approx(0.01)


def test_the_threshold_is_the_lowest_within_the_budget():
    """Of ten maps one may show more than 5 mL (95 % lies between it and the next), half 1 mL."""

    def volume_at(level, threshold):
        return 20 * max(0.0, float(level) - threshold)

    levels = [np.float32(v) for v in (0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2)]
    found = choose_threshold(levels, volume_at)
    assert found == pytest.approx(0.1, abs=1e-3)  # median of 0 and 20 · .1 is 1 mL
    strict = choose_threshold([*levels[:-1], np.float32(0.8)], volume_at)
    assert strict > 0.2
    volumes = [volume_at(v, strict) for v in (*levels[:-1], 0.8)]
    assert np.quantile(volumes, 0.95) == pytest.approx(5, abs=0.02)
