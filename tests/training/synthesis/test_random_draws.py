"""Draws are seeded and distributed as they say; the blur is a Gaussian."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from anatomaly.training.synthesis.random_draws import (
    chance,
    gaussian_blur,
    integer,
    normal,
    smooth_field,
    uniform,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_uniform_integer_chance_and_normal():
    source = rng()
    values = np.array([uniform(source, 2, 5) for _ in range(2000)])
    assert values.min() >= 2 and values.max() < 5
    assert values.mean() == pytest.approx(3.5, abs=0.1)
    counts = np.bincount([integer(source, 4) for _ in range(2000)], minlength=4)
    assert len(counts) == 4 and counts.min() > 400
    assert np.mean([chance(source, 0.2) for _ in range(2000)]) == pytest.approx(0.2, abs=0.04)
    draws = normal(source, (20, 20, 20))
    assert draws.mean().item() == pytest.approx(0, abs=0.05)
    assert draws.std().item() == pytest.approx(1, abs=0.05)


def test_the_same_seed_draws_the_same():
    assert uniform(rng(3), 0, 1) == uniform(rng(3), 0, 1) != uniform(rng(4), 0, 1)
    assert torch.equal(smooth_field(rng(3), (9, 8, 7), 4), smooth_field(rng(3), (9, 8, 7), 4))


def test_smooth_field_is_linear_between_its_points():
    field = smooth_field(rng(), (41, 33, 21), 10)
    assert field.shape == (41, 33, 21)
    bends = field[:, 0, 0].diff(n=2).abs()
    assert (bends < 1e-4).sum() >= 36  # 41 voxels, 5 points: 3 bends, each over up to 1 voxel
    assert bends.max() > 1e-3


def test_blur_against_scipy():
    image = torch.rand(15, 17, 13, generator=rng())
    sigma = (0.5, 1.0, 1.4)
    expected = image.numpy()
    for axis, s in enumerate(sigma):
        radius = max(1, round(3 * s))
        expected = ndimage.gaussian_filter1d(expected, s, axis, mode="nearest", radius=radius)
    np.testing.assert_allclose(gaussian_blur(image, sigma).numpy(), expected, atol=1e-5)


def test_a_tiny_blur_is_none():
    image = torch.rand(5, 6, 7)
    assert torch.equal(gaussian_blur(image, (0.0, 0.1, 0.19)), image)
