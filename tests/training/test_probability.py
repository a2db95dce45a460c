"""Probabilities from logits: a known map is found again, and what is reported is what is true."""

import numpy as np
import pytest
from scipy.special import expit

from anatomaly.training.probability import (
    EVERY,
    fit_probability,
    join_samples,
    reliability,
    sample_voxels,
)

SHAPE = (60, 60, 60)


def scan(seed, slope=0.6, offset=-1.0):
    """Logits, and lesions that are as probable as σ(slope · logit + offset) says."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-3, 4, SHAPE).astype(np.float32)
    lesion = rng.random(SHAPE) < expit(slope * logit + offset)
    return logit, lesion, np.ones(SHAPE, bool)


@pytest.fixture(name="sample", scope="module")
def fixture_sample():
    return join_samples(sample_voxels(*scan(seed)) for seed in range(3))


def test_a_known_map_is_found_again(sample):
    slope, offset = fit_probability(sample)
    assert slope == pytest.approx(0.6, abs=0.03)
    assert offset == pytest.approx(-1.0, abs=0.1)


def test_what_is_taken_stands_for_the_whole_scan():
    logit, lesion, brain = scan(0)
    brain[:20] = False
    sample = sample_voxels(logit, lesion, brain)
    assert sample.lesion.sum() == (lesion & brain).sum()
    assert sample.weight.sum() == pytest.approx(brain.sum(), abs=EVERY)
    assert sample.weight[~sample.lesion].min() == EVERY and sample.weight[sample.lesion].max() == 1


def test_calibrated_probabilities_are_shares(sample):
    rows = reliability(sample, fit_probability(sample))
    assert len(rows) == 10
    assert sum(ml for *_, ml in rows) == pytest.approx(3 * np.prod(SHAPE) / 1000, rel=0.01)
    for mean, share, _ in rows:
        assert share == pytest.approx(mean, abs=0.06)
    wrong = reliability(sample, (3.0, 2.0))
    assert max(abs(mean - share) for mean, share, _ in wrong) > 0.2


def test_one_kind_of_voxels_is_not_enough():
    logit, _, brain = scan(0)
    with pytest.raises(ValueError, match="inside and outside"):
        fit_probability(sample_voxels(logit, np.zeros(SHAPE, bool), brain))
