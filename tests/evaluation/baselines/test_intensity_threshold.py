"""The intensity baseline: ranks, and the direction that each sequence asks for."""

import numpy as np
import pytest

from anatomaly.evaluation.baselines.intensity_threshold import intensity_score

SHAPE = (11, 13, 12)
PLAIN = {"median_voxels": 1, "erosion_voxels": 0}


def brain():
    mask = np.zeros(SHAPE, bool)
    mask[1:-1, 1:-1, 2:-1] = True
    return mask


def image():
    return np.random.default_rng(0).normal(300, 90, SHAPE)


@pytest.mark.parametrize(("sequence", "sign"), [("T1w", -1), ("T2w", 1), ("FLAIR", 1)])
def test_rank_by_counting(sequence, sign):
    data, mask = sign * image(), brain()
    found = intensity_score(sign * data, mask, sequence, **PLAIN)
    values = data[mask]
    expected = (values[:, None] >= values[None]).mean(1)
    np.testing.assert_allclose(found[mask], expected, atol=1e-6)
    assert found[mask].max() == 1
    assert not found[~mask].any()


def test_only_the_order_of_intensities_counts():
    data, mask = image(), brain()
    first = intensity_score(data, mask, "FLAIR", **PLAIN)
    second = intensity_score(np.exp(data / 100), mask, "FLAIR", **PLAIN)
    np.testing.assert_array_equal(first, second)


def test_ties_share_a_rank():
    found = intensity_score(np.ones(SHAPE), brain(), "FLAIR", **PLAIN)
    assert len(np.unique(found[brain()])) == 1


def test_smoothed_and_without_rim_by_default():
    mask = np.ones(SHAPE, bool)
    found = intensity_score(image(), mask, "FLAIR")
    assert not found[:3].any() and not found[:, :, -3:].any()
    inner = found[3:-3, 3:-3, 3:-3]
    assert 0 < inner.std() < 0.15  # single voxels have 0.29


def test_no_brain_no_score():
    assert not intensity_score(image(), np.zeros(SHAPE, bool), "T1w").any()
