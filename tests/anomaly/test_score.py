"""From image and expectation to the map: each score by numpy, then smoothing, rim and weighing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity

from anatomaly.anomaly.score import anomaly_map, raw_score
from anatomaly.method import REFINED, usual_method

SHAPE = (24, 20, 28)
INSIDE = (slice(6, -6),) * 3
"""Where the borders of the SSIM window, which differ from scikit-image's, have no say."""


def images():
    rng = np.random.default_rng(2)
    x = rng.random(SHAPE).astype(np.float32)
    return x, np.clip(x + rng.normal(0, 0.3, SHAPE), 0, 1).astype(np.float32)


def score(x, phi, sequence, method):
    first, second = (torch.tensor(a)[None, None] for a in (x, phi))
    found = raw_score(first, second, sequence, method)
    assert found.shape == (1, 1, *SHAPE)
    return found[0, 0].numpy()


def structure(x, phi, sigma=1.5):
    options = {"sigma": sigma, "gaussian_weights": True, "use_sample_covariance": False}
    _, ssim = structural_similarity(x, phi, full=True, data_range=1, **options)
    return np.clip(1 - ssim, 0, 1)


@pytest.mark.parametrize(("sequence", "sign"), [("T1w", -1), ("T2w", 1), ("FLAIR", 1)])
def test_the_sequence_decides_which_residuals_count(sequence, sign):
    x, phi = images()
    expected = np.clip(sign * (x - phi), 0, None)
    found = score(x, phi, sequence, usual_method("residual"))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    both = score(x, phi, sequence, replace(usual_method("residual"), polarity="both"))
    np.testing.assert_allclose(both, np.abs(x - phi), atol=1e-6)


def test_the_refined_score_is_not_a_residual_in_disguise():
    x, phi = images()
    with pytest.raises(ValueError, match="that of a network"):
        score(x, phi, "T2w", REFINED)


def test_normalised_starts_from_the_residual():
    x, phi = images()
    found = score(x, phi, "T2w", usual_method("normalised"))
    np.testing.assert_array_equal(found, score(x, phi, "T2w", usual_method("residual")))


@pytest.mark.parametrize("sigma", [0.8, 1.5])
def test_structure_and_hybrid_use_the_window_that_is_told(sigma):
    x, phi = images()
    method = replace(usual_method("structure"), ssim_sigma_mm=sigma)
    expected = structure(x, phi, sigma)
    found = score(x, phi, "T2w", method)
    np.testing.assert_allclose(found[INSIDE], expected[INSIDE], atol=2e-5)
    assert 0.1 < expected[INSIDE].mean() < 0.9
    hybrid = score(x, phi, "T2w", replace(method, score="hybrid"))
    by_hand = np.clip(x - phi, 0, None) * expected
    np.testing.assert_allclose(hybrid[INSIDE], by_hand[INSIDE], atol=2e-5)


def brain():
    i, j, k = (np.indices(SHAPE).T - np.array([11.5, 9.5, 13.5])).T
    return (i / 10.4) ** 2 + (j / 9.1) ** 2 + (k / 12.3) ** 2 < 1


@pytest.mark.parametrize(
    ("method", "sigma", "rim"),
    [
        (usual_method("hybrid"), 1.0, 3.0),
        (REFINED, 0.5, 0.0),
        (replace(REFINED, smoothing_mm=0.0, rim_mm=4.0), 0.0, 4.0),
    ],
)
def test_the_map_has_the_smoothing_and_the_rim_of_its_score(method, sigma, rim):
    raw, mask = images()[0], brain()
    found = anomaly_map(torch.tensor(raw)[None, None], mask, method)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    expected = np.where(depth > rim, ndimage.gaussian_filter(raw, sigma), 0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert 0.1 * mask.sum() < (found > 0).sum() <= (depth > rim).sum()


def test_the_normalised_score_weighs_by_healthy_people():
    raw, mask = np.full(SHAPE, 0.3, np.float32), np.ones(SHAPE, bool)
    healthy = np.full([n // 4 for n in SHAPE], 0.04, np.float32)
    method = replace(usual_method("normalised"), rim_mm=0.0)
    found = anomaly_map(torch.tensor(raw)[None, None], mask, method, healthy)
    np.testing.assert_allclose(found, 0.3 * 0.02 / (0.02 + 0.04), rtol=1e-5)
    with pytest.raises(ValueError, match="healthy people"):
        anomaly_map(torch.tensor(raw)[None, None], mask, method)
    other = anomaly_map(
        torch.tensor(raw)[None, None], mask, replace(method, score="residual"), healthy
    )
    np.testing.assert_allclose(other, 0.3, rtol=1e-5)
