"""Scores of several sequences on one scale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anatomaly.anomaly.fusion import FUSED_THRESHOLD, fuse_scores, relative_score
from anatomaly.errors import ConfigError, GeometryError

UNIT = st.floats(0.0, 1.0)


@given(threshold=st.floats(0.01, 0.99), low=UNIT, high=UNIT)
def test_order_stays_and_the_threshold_becomes_a_half(threshold, low, high):
    low, high = sorted((low, high))
    bent = relative_score(np.array([low, threshold, high]), threshold)
    assert bent[1] == pytest.approx(FUSED_THRESHOLD)
    assert 0 <= bent[0] <= bent[2] <= 1
    if abs(high - threshold) > 1e-5:  # float32 cannot tell closer ones apart
        assert (bent[2] > FUSED_THRESHOLD) == (high > threshold)


def test_the_fused_mask_is_the_union_of_the_masks():
    rng = np.random.default_rng(3)
    scores = [rng.random((5, 6, 7)) for _ in range(3)]
    thresholds = (0.3, 0.9, 0.5)
    fused = fuse_scores([relative_score(s, t) for s, t in zip(scores, thresholds, strict=True)])
    union = np.any([s > t for s, t in zip(scores, thresholds, strict=True)], axis=0)
    np.testing.assert_array_equal(fused > FUSED_THRESHOLD, union)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_at_the_end_is_refused(threshold):
    with pytest.raises(ConfigError, match="got"):
        relative_score(np.zeros(3), threshold)


def test_shapes_that_differ_are_refused():
    with pytest.raises(GeometryError, match="one shape"):
        fuse_scores([np.zeros((2, 3, 4)), np.zeros((2, 3, 5))])
