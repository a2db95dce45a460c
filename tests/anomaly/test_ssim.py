"""The SSIM map against scikit-image, whose borders alone differ (it repeats the edge voxel)."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from anatomaly.anomaly.ssim import ssim_map

SHAPES = pytest.mark.parametrize("shape", [(19, 23, 17), (24, 15, 21)])


def pair(shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random(shape).astype(np.float32)
    return x, np.clip(0.7 * x + 0.3 * rng.random(shape), 0, 1).astype(np.float32)


def ours(x, y, **options):
    return ssim_map(torch.tensor(x)[None, None], torch.tensor(y)[None, None], **options)[
        0, 0
    ].numpy()


@SHAPES
@pytest.mark.parametrize("sigma", [0.8, 1.5, 2.0])
@pytest.mark.parametrize("data_range", [1.0, 0.4])
def test_equals_scikit_image_inside(shape, sigma, data_range):
    x, y = pair(shape)
    radius = int(3.5 * sigma + 0.5)
    _, expected = structural_similarity(
        x.astype(np.float64),
        y.astype(np.float64),
        full=True,
        gaussian_weights=True,
        sigma=sigma,
        use_sample_covariance=False,
        data_range=data_range,
    )
    inside = tuple(slice(radius, -radius) for _ in range(3))
    found = ours(x, y, data_range=data_range, sigma=sigma)
    assert found.shape == shape
    assert found[inside].size > 0
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-5)


def test_members_of_a_batch_do_not_meet():
    x, y = (torch.tensor(np.stack([a, a[::-1] ** 2]).copy())[:, None] for a in pair((12, 13, 14)))
    both = ssim_map(x, y, data_range=1.0)
    torch.testing.assert_close(both[:1], ssim_map(x[:1], y[:1], data_range=1.0))
    torch.testing.assert_close(both[1:], ssim_map(x[1:], y[1:], data_range=1.0))


def test_symmetric_and_minus_one_for_the_opposite():
    x, y = pair((15, 16, 17))
    np.testing.assert_allclose(ours(x, y, data_range=1.0), ours(y, x, data_range=1.0), atol=1e-6)
    wave = np.tile([1.0, -1.0], 16)[:, None, None] * np.ones((32, 13, 13))
    found = ours(wave.astype(np.float32), -wave.astype(np.float32), data_range=1.0)
    assert found[8:-8].max() < -0.99


def test_two_constants_by_hand():
    # variances are 0: (2 · .2 · .6 + .0001) / (.04 + .36 + .0001)
    x, y = np.full((12, 12, 12), 0.2, np.float32), np.full((12, 12, 12), 0.6, np.float32)
    np.testing.assert_allclose(ours(x, y, data_range=1.0), 0.2401 / 0.4001, atol=1e-3)


def test_half_precision_around_it_changes_nothing():
    x, y = (torch.tensor(a)[None, None] for a in pair((13, 14, 15)))
    with torch.autocast("cpu", torch.bfloat16):
        half = ssim_map(x, y, data_range=1.0)
    torch.testing.assert_close(half, ssim_map(x, y, data_range=1.0))


def test_refusals():
    x = torch.rand(1, 1, 12, 12, 12)
    with pytest.raises(ValueError, match="shapes differ"):
        ssim_map(x, x[..., :-1], data_range=1.0)
    for data_range, sigma in ((0.0, 1.5), (-1.0, 1.5), (1.0, 0.0)):
        with pytest.raises(ValueError, match="must be > 0"):
            ssim_map(x, x, data_range=data_range, sigma=sigma)
