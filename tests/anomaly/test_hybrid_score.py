"""The score by its formula in numpy, with SSIM from scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from anatomaly.anomaly.hybrid_score import (
    hybrid_score,
    signed_residual,
    structural_difference,
)

INSIDE = (slice(6, -6),) * 3


def images():
    rng = np.random.default_rng(1)
    x = rng.random((21, 19, 23)).astype(np.float32)
    return x, np.clip(x + rng.normal(0, 0.3, x.shape), 0, 1).astype(np.float32)


def score(x, phi, **options):
    first, second = torch.tensor(x)[None, None], torch.tensor(phi)[None, None]
    return hybrid_score(first, second, data_range=1.0, **options)[0, 0].numpy()


RESIDUAL = {
    "both": lambda d: np.abs(d),
    "brighter": lambda d: np.where(d > 0, d, 0),
    "darker": lambda d: np.where(d < 0, -d, 0),
}


@pytest.mark.parametrize("polarity", RESIDUAL)
def test_formula(polarity):
    x, phi = images()
    _, ssim = structural_similarity(
        x,
        phi,
        full=True,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
    )
    expected = RESIDUAL[polarity](x - phi) * np.clip(1 - ssim, 0, 1)
    found = score(x, phi, polarity=polarity)
    pair = (torch.tensor(a)[None, None] for a in (x, phi))
    structure = structural_difference(*pair, data_range=1.0)[0, 0].numpy()
    np.testing.assert_allclose(structure[INSIDE], np.clip(1 - ssim, 0, 1)[INSIDE], atol=2e-5)
    np.testing.assert_allclose(found[INSIDE], expected[INSIDE], atol=2e-5)
    assert found.max() > 0.1


def test_both_is_the_sum_of_the_two_polarities():
    x, phi = images()
    parts = score(x, phi, polarity="brighter") + score(x, phi, polarity="darker")
    np.testing.assert_allclose(score(x, phi), parts, atol=1e-6)


def test_opposite_structure_counts_at_most_its_residual():
    wave = np.tile([1.0, 0.0], 12)[:, None, None] * np.ones((24, 13, 13))
    found = score(wave.astype(np.float32), (1 - wave).astype(np.float32))
    assert found.max() <= 1.0
    assert found[8:-8].min() > 0.9


def test_identical_images_score_zero():
    x, _ = images()
    assert np.abs(score(x, x)).max() < 1e-6


@pytest.mark.parametrize(
    ("polarity", "expected"),
    [("both", [0.25, 0.25]), ("brighter", [0.0, 0.25]), ("darker", [0.25, 0.0])],
)
def test_residual_by_hand(polarity, expected):
    found = signed_residual(torch.tensor([0.25, 0.75]), torch.tensor([0.5, 0.5]), polarity)
    assert found.tolist() == expected
