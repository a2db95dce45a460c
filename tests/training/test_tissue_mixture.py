"""Tissues of drawn brains come back, whatever the sequence, also where the template is off."""

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.training.tissue_mixture import _densities, blur_priors, fit_tissues

SHAPE = (40, 44, 36)
MEANS = {"T1w": (0.2, 0.5, 0.8), "T2w": (0.9, 0.5, 0.35), "FLAIR": (0.15, 0.65, 0.5)}


def shells(shift=0.0):
    """Nested tissues: 1 outside, 3 inside; 0 beyond the brain."""
    axes = [np.linspace(-1, 1, n) for n in SHAPE]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt((x - shift) ** 2 + y**2 + z**2)
    return np.select([radius < 0.55, radius < 0.75, radius < 0.9], [3, 2, 1], 0)


def priors_of(tissue):
    return np.stack([ndimage.gaussian_filter((tissue == k).astype(float), 1.5) for k in (1, 2, 3)])


def dice(first, second, label):
    a, b = first == label, second == label
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def draw(tissue, names, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    tables = [np.array([0, *MEANS[name]]) for name in names]
    return np.stack([table[tissue] + rng.normal(0, noise, tissue.shape) for table in tables])


@pytest.mark.parametrize("names", [["T1w"], ["T2w"], ["FLAIR"], ["T1w", "T2w"]])
def test_tissues_come_back_with_priors_half_a_centimetre_off(names):
    truth = shells()
    found = fit_tissues(draw(truth, names), truth > 0, priors_of(shells(0.2)))
    assert set(np.unique(found)) == {0, 1, 2, 3}
    assert ((found == 0) == (truth == 0)).all()
    for label in (1, 2, 3):
        assert dice(found, truth, label) > 0.9


def test_units_do_not_matter():
    truth = shells()
    image = draw(truth, ["T1w"])
    first, second = (fit_tissues(i, truth > 0, priors_of(truth)) for i in (image, 900 * image + 70))
    assert (first != second).mean() < 1e-3


def test_density_by_hand():
    values = np.array([[1.0, 2.0]])
    means = np.array([[0.0, 0.0]])
    found = _densities(values, means, np.array([[[4.0, 0.0], [0.0, 1.0]]]))
    assert found[0, 0] == pytest.approx(np.exp(-0.5 * (0.25 + 4)) / 2)


def test_priors_sum_to_one_and_none_is_impossible():
    brain = shells() > 0
    shares = blur_priors(np.stack([np.zeros(SHAPE), np.ones(SHAPE), np.zeros(SHAPE)]), brain)
    assert shares.shape == (brain.sum(), 3)
    np.testing.assert_allclose(shares.sum(1), 1)
    assert shares.min() == pytest.approx(0.02 / 1.06, rel=1e-3)
