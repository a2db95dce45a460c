"""What healthy brains show at each threshold: measured, read back, and read between thresholds."""

import json

import numpy as np
import pytest

from anatomaly.errors import WeightsError
from anatomaly.healthy_volume import THRESHOLDS, FalseMl, HealthyVolume, measure_healthy_volume

CURVE = HealthyVolume((0.2, 0.4, 0.5), (3.0, 1.0, 0.0), (9.0, 5.0, 0.5))


def voxels_ml(anomaly_map, threshold):
    """All that is above, at 1 mL a voxel."""
    return float((anomaly_map > threshold).sum())


def test_median_and_95th_percentile_by_hand():
    """Ten, twenty .. fifty voxels at .5 and two at .8: median 30 + 2, 95 % between 40 and 50."""
    maps = []
    for count in (30, 10, 50, 20, 40):
        scores = np.zeros((4, 4, 4))
        scores.flat[:count], scores.flat[60:62] = 0.5, 0.8
        maps.append(scores)
    found = measure_healthy_volume(maps, voxels_ml, (0.3, 0.5, 0.8))
    assert found == HealthyVolume((0.3, 0.5, 0.8), (32, 2, 0), (40 + 8 + 2, 2, 0))


def test_the_rule_of_the_mask_is_the_one_that_was_given():
    asked = []

    def volume_at(anomaly_map, threshold):
        asked.append((int(anomaly_map[0]), threshold))
        return 10 * anomaly_map[0] + threshold

    found = measure_healthy_volume([np.array([1.0]), np.array([2.0])], volume_at, (0.1, 0.2))
    assert sorted(asked) == [(1, 0.1), (1, 0.2), (2, 0.1), (2, 0.2)]
    np.testing.assert_allclose(found.half, (15.1, 15.2))


def test_it_falls_with_the_threshold():
    rng = np.random.default_rng(0)
    maps = [rng.beta(1, 8, (12, 13, 11)) for _ in range(7)]
    found = measure_healthy_volume(maps, voxels_ml)
    assert found.threshold == THRESHOLDS and list(THRESHOLDS) == sorted(THRESHOLDS)
    between = [found.at(threshold) for threshold in np.linspace(0.01, 1, 200)]
    assert (np.diff(between, axis=0) <= 0).all() and between[0].half > between[-1].half
    assert all(most >= half for half, most in between)
    assert HealthyVolume.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_between_below_and_above_the_measured_thresholds():
    assert CURVE.at(0.2) == (3, 9)
    np.testing.assert_allclose(CURVE.at(0.25), (2.5, 8))
    np.testing.assert_allclose(CURVE.at(0.48), (0.2, 1.4))
    assert CURVE.at(0.6) == FalseMl(half=0, most=0.5)
    assert CURVE.at(0.199) is None


def test_other_entries_are_left_alone():
    assert HealthyVolume.from_json({**CURVE.to_json(), "default": 0.4}) == CURVE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"most": [9.0, 5.0]}, "lists of 3, 3, 2 values"),
        ({"threshold": [], "half": [], "most": []}, "lists of 0, 0, 0 values"),
        ({"threshold": [0.2, 0.5, 0.4]}, "do not ascend"),
        ({"threshold": [0.2, 0.4, 1.5]}, "above 1"),
        ({"half": [3.0, 1.0, -0.1]}, "negative"),
        ({"half": [3.0, 1.0, float("nan")]}, "not finite"),
        ({"half": [3.0, 6.0, 0.0]}, "fewer mL in 95 %"),
        ({"half": None}, "need lists of numbers"),
        ({"half": ["x", 1, 0]}, "need lists of numbers"),
    ],
)
def test_figures_that_cannot_be_are_refused(changes, reason):
    with pytest.raises(WeightsError, match=reason):
        HealthyVolume.from_json(CURVE.to_json() | changes)


@pytest.mark.parametrize("content", [{}, None, [1.0], 3])
def test_another_form_is_refused(content):
    with pytest.raises(WeightsError, match="need lists of numbers called threshold, half, most"):
        HealthyVolume.from_json(content)
