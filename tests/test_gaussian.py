"""The blur against scipy, whose names of the borders are `nearest` and `mirror`."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from anatomaly.gaussian import gaussian_blur, gaussian_weights

SHAPE = (13, 9, 11)
BORDERS = pytest.mark.parametrize(
    ("borders", "mode"), [("replicate", "nearest"), ("reflect", "mirror")]
)


def draw(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).random(shape)


def by_scipy(image, sigmas, radii, mode):
    """One axis after the other, last three axes only; an axis with radius 0 is left."""
    out = image
    for axis, sigma, radius in zip((-3, -2, -1), sigmas, radii, strict=True):
        if radius:
            out = ndimage.gaussian_filter1d(out, sigma, axis=axis, mode=mode, radius=radius)
    return out


@BORDERS
@pytest.mark.parametrize(
    ("sigmas", "radii"),
    [((1.0, 1.0, 1.0), (3, 3, 3)), ((0.6, 1.7, 1.1), (2, 6, 4)), ((2.0, 0.5, 3.0), (8, 1, 7))],
)
def test_equals_scipy(borders, mode, sigmas, radii):
    image = draw()
    found = gaussian_blur(torch.tensor(image), sigmas, radii, borders)
    np.testing.assert_allclose(found, by_scipy(image, sigmas, radii, mode), rtol=1e-12)


@BORDERS
def test_batch_and_channels_are_not_blurred(borders, mode):
    image = draw((2, 3, *SHAPE))
    found = gaussian_blur(torch.tensor(image), (1.0, 0.7, 1.3), (3, 2, 4), borders)
    for b, c in np.ndindex(2, 3):
        expected = by_scipy(image[b, c], (1.0, 0.7, 1.3), (3, 2, 4), mode)
        np.testing.assert_allclose(found[b, c], expected, rtol=1e-12)


def test_radius_0_leaves_an_axis():
    """A line along the middle axis: blurred along it alone, it stays on its place."""
    image = torch.zeros(SHAPE)
    image[6, 4, 5] = 1
    found = gaussian_blur(image, (1.0, 1.0, 1.0), (0, 2, 0))
    np.testing.assert_allclose(found[6, 2:7, 5], gaussian_weights(1.0, 2), rtol=1e-6)
    assert (found > 0).sum() == 5
    untouched = gaussian_blur(image, (1.0, 1.0, 1.0), (0, 0, 0))
    assert torch.equal(untouched, image)


def test_the_input_stays_as_it_was():
    image = torch.tensor(draw())
    before = image.clone()
    gaussian_blur(image, (1.0, 1.0, 1.0), (3, 3, 3))
    assert torch.equal(image, before)


def test_a_constant_stays_up_to_the_border():
    for borders in ("replicate", "reflect"):
        found = gaussian_blur(torch.full(SHAPE, 0.7), (2.0, 2.0, 2.0), (5, 5, 5), borders)
        np.testing.assert_allclose(found, 0.7, rtol=1e-6)


def test_half_a_type_stays_half():
    found = gaussian_blur(torch.tensor(draw()).to(torch.bfloat16), (1.0, 1.0, 1.0), (3, 3, 3))
    assert found.dtype == torch.bfloat16


def test_weights_by_hand():
    # e^(−1/8), 1, e^(−1/8) for σ = 2 cut at one voxel
    side = math.exp(-1 / 8)
    found = gaussian_weights(2.0, 1)
    assert found == pytest.approx([n / (1 + 2 * side) for n in (side, 1, side)])
    assert sum(gaussian_weights(0.8, 5)) == pytest.approx(1, abs=1e-12)


@BORDERS
def test_gradients_pass(borders, mode):
    """By finite differences, so that the sums in place do not spoil them."""
    image = torch.tensor(draw((5, 4, 6)), requires_grad=True)
    blur = lambda x: gaussian_blur(x, (1.0, 0.6, 1.2), (3, 1, 2), borders)  # noqa: E731
    assert torch.autograd.gradcheck(blur, (image,))
    blur(image)[2, 1, 3].backward()
    spread = np.zeros((5, 4, 6))
    spread[2, 1, 3] = 1
    # away from the border the gradient is the window itself
    expected = by_scipy(spread, (1.0, 0.6, 1.2), (3, 1, 2), mode)
    np.testing.assert_allclose(image.grad[2, 1, 2:5], expected[2, 1, 2:5], rtol=1e-9)
