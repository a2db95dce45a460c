"""False positives counted by hand."""

import math

import numpy as np
import pytest

from anatomaly.errors import ConfigError, EvaluationError, GeometryError
from anatomaly.evaluation.healthy import (
    FalsePositives,
    false_positives,
    false_positives_at,
    summarise_healthy,
)

SHAPE = (8, 7, 6)
BRAIN = np.zeros(SHAPE, bool)
BRAIN[1:7, 1:6, 1:5] = True


def test_volume_and_number_by_hand():
    found = np.zeros(SHAPE, bool)
    found[1, 1, 1] = found[2, 2, 2] = True  # joined by a corner
    found[5:7, 4, 1] = found[5, 5, 1] = True
    found[0, 0, 0] = found[7] = True  # outside the brain
    result = false_positives(found, BRAIN, 2.5)
    assert result.volume_ml == pytest.approx(5 * 0.0025)
    assert result.largest_ml == pytest.approx(3 * 0.0025)
    assert result.pieces == 2
    assert result.brain_share == pytest.approx(5 / (6 * 5 * 4))


def test_at_a_threshold():
    rng = np.random.default_rng(0)
    score = np.round(rng.random(SHAPE), 1)
    score[0, 0, 0] = np.nan  # outside the brain
    found = [p for p in np.argwhere(BRAIN) if score[tuple(p)] > 0.7]
    result = false_positives_at(score, BRAIN, 1.0, 0.7)
    assert result.volume_ml == pytest.approx(len(found) / 1000)
    assert (score == 0.7).any() and 10 < len(found) < 60
    assert result == false_positives(np.nan_to_num(score) > 0.7, BRAIN, 1.0)


def test_nothing_found():
    assert false_positives(~BRAIN, BRAIN, 1.0) == (0.0, 0, 0.0, 0.0)
    assert false_positives(BRAIN, BRAIN, 1.0) == (0.12, 1, 0.12, 1.0)


def test_summary_by_hand():
    scans = [FalsePositives(float(ml), ml // 2, 0.0, 0.0) for ml in range(21)]
    summary = summarise_healthy(scans[::-1])
    assert summary == (21, 10.0, 19.0, 5.0, pytest.approx(2 / 21))
    assert summarise_healthy(scans[:1]) == (1, 0.0, 0.0, 0.0, 1.0)


def test_what_is_refused():
    with pytest.raises(EvaluationError, match="no healthy scan"):
        summarise_healthy([])
    with pytest.raises(EvaluationError, match="brain mask is empty"):
        false_positives(BRAIN, np.zeros(SHAPE, bool), 1.0)
    with pytest.raises(GeometryError, match="shapes differ"):
        false_positives(BRAIN[1:], BRAIN, 1.0)
    with pytest.raises(EvaluationError, match="must be bool"):
        false_positives(BRAIN.astype(np.uint8), BRAIN, 1.0)
    for volume in (0.0, math.nan, math.inf):
        with pytest.raises(ConfigError, match="voxel_volume_mm3"):
            false_positives(BRAIN, BRAIN, volume)
    with pytest.raises(EvaluationError, match="NaN or infinite"):
        false_positives_at(np.full(SHAPE, np.nan), BRAIN, 1.0, 0.5)
