"""Contrasts: order of the tissues per sequence, tone curves, slices, noise."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch

from anatomaly.training.synthesis.contrast import (
    CORTEX,
    CSF,
    WHITE,
    Acquisition,
    acquire,
    add_noise,
    draw_acquisition,
    draw_contrast,
    remap,
    render_classes,
    rim_is_csf,
    tone_curve,
)
from anatomaly.training.synthesis.label_maps import RIM

LANDMARKS = torch.tensor([40.0, 110.0, 165.0])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def tissue_means(sequence, seed):
    means = draw_contrast(rng(seed), sequence).means
    return (float(means[c]) for c in (CSF, CORTEX, WHITE))


@pytest.mark.parametrize("seed", range(30))
def test_order_of_the_tissues(seed):
    csf, grey, white = tissue_means("T1w", seed)
    assert csf < grey < white
    csf, grey, white = tissue_means("T2w", seed)
    assert csf > grey and csf > white
    csf, grey, white = tissue_means("FLAIR", seed)
    assert csf < white < grey
    means = draw_contrast(rng(seed), "random").means
    values = sorted(float(means[c]) for c in (1, CORTEX, WHITE))
    assert min(b - a for a, b in pairwise(values)) > 0.12 - 1e-6


def test_contrasts_differ_and_repeat():
    first, again, other = (draw_contrast(rng(s), "T1w").means for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.01


def test_rim_reads_as_csf_in_about_half():
    drawn = [rim_is_csf(draw_contrast(rng(s), "T1w")) for s in range(300)]
    # .6 are drawn beside CSF, .83 of them within .03 of the sulcal value; .03 more by chance
    assert 0.45 < np.mean(drawn) < 0.61


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("sequence", ["T1w", "T2w", "FLAIR", "random"])
def test_tone_curve_goes_through_the_landmarks(seed, sequence):
    contrast = draw_contrast(rng(seed), sequence)
    curve = tone_curve(rng(seed + 100), LANDMARKS, contrast)
    assert curve.shape == (257,)
    for value, index in zip((40, 110, 165), (CSF, CORTEX, WHITE), strict=True):
        assert curve[value].item() == pytest.approx(float(contrast.means[index]), abs=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_tone_curve_of_t1w_never_falls_and_that_of_t2w_puts_csf_on_top(seed):
    rising = tone_curve(rng(seed), LANDMARKS, draw_contrast(rng(seed), "T1w"))
    assert rising.diff().min() > -1e-6 and rising[-1] > rising[0] + 0.4
    falling = tone_curve(rng(seed), LANDMARKS, draw_contrast(rng(seed), "T2w"))
    assert falling[:41].min() > falling[110:].max()


def test_tone_curve_of_a_bright_scan_with_knots_beyond_the_scale():
    curve = tone_curve(rng(), torch.tensor([60.0, 150.0, 220.0]), draw_contrast(rng(), "T1w"))
    assert torch.isfinite(curve).all() and curve.diff().min() > -1e-6


def test_remap_is_linear_interpolation():
    curve = torch.rand(257, generator=rng())
    image = 255 * torch.rand(6, 5, 4, generator=rng(1))
    expected = np.interp(image.numpy(), np.arange(257), curve.numpy())
    np.testing.assert_allclose(remap(image, curve).numpy(), expected, atol=1e-4)
    assert remap(torch.tensor([-5.0, 300.0]), curve).tolist() == [curve[0], curve[255]]


def test_rendered_tissues_have_their_means():
    classes = torch.zeros(40, 24, 24, dtype=torch.uint8)
    classes[:20] = CORTEX
    classes[20:] = WHITE
    contrast = draw_contrast(rng(3), "T1w")
    image = render_classes(rng(4), classes, contrast)
    assert image[3:17].mean().item() == pytest.approx(float(contrast.means[CORTEX]), abs=0.03)
    assert image[23:37].mean().item() == pytest.approx(float(contrast.means[WHITE]), abs=0.03)
    assert 0.001 < image[3:17].std() < 0.05


PLAIN = Acquisition(thick_axis=-1, thickness=1, blur=(0.0, 0.0, 0.0), noise=0.0, bias=0.0)


def test_nothing_added_nothing_changed():
    image = torch.rand(9, 10, 11)
    assert torch.equal(acquire(image, PLAIN), image)
    assert torch.equal(add_noise(rng(), image, PLAIN), image)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_blur_their_axis_only(axis):
    image = torch.zeros(24, 24, 24)
    image.movedim(axis, 0)[12:] = 1.0  # a step between slices
    found = acquire(image, Acquisition(axis, 4, (0.0, 0.0, 0.0), 0.0, 0.0))
    assert ((found > 0.01) & (found < 0.99)).any()
    other = (axis + 1) % 3
    step = torch.zeros(24, 24, 24)
    step.movedim(other, 0)[12:] = 1.0
    torch.testing.assert_close(acquire(step, Acquisition(axis, 4, (0.0,) * 3, 0.0, 0.0)), step)
    assert found.shape == image.shape
    assert found.mean().item() == pytest.approx(0.5, abs=0.01)


def test_noise_has_its_strength_and_the_gain_is_smooth():
    image = torch.full((40, 40, 40), 0.5)
    noisy = add_noise(rng(), image, Acquisition(-1, 1, (0.0,) * 3, 0.03, 0.0))
    assert (noisy - image).std().item() == pytest.approx(0.03, rel=0.05)
    gained = add_noise(rng(), image, Acquisition(-1, 1, (0.0,) * 3, 0.0, 0.08))
    assert (gained - image).abs().max() > 0.005
    assert max(gained.diff(dim=a).abs().max() for a in range(3)) < 0.01


def test_drawn_acquisitions_keep_their_ranges():
    drawn = [draw_acquisition(rng(s)) for s in range(200)]
    thick = [a for a in drawn if a.thick_axis >= 0]
    assert 0.2 < len(thick) / 200 < 0.4
    assert {a.thickness for a in thick} == set(range(2, 9))
    assert {a.thick_axis for a in thick} == {0, 1, 2}
    assert all(0.005 <= a.noise <= 0.05 and 0 <= a.bias <= 0.08 for a in drawn)
    assert all(0 <= s <= 0.6 for a in drawn for s in a.blur)
    assert RIM == 14


def test_slices_differ_in_gain_and_odd_ones_from_even_ones():
    image = torch.full((24, 10, 10), 0.5)
    acquired = Acquisition(0, 4, (0.0,) * 3, 0.0, 0.0, slice_gain=0.05)
    seen = torch.stack([add_noise(rng(n), image, acquired) for n in range(40)]) / 0.5
    assert torch.equal(seen[:, :, 0, 0], seen[:, :, 9, 9])  # a gain of whole slices
    slices = seen[:, ::4, 0, 0]
    assert torch.equal(slices, seen[:, 3::4, 0, 0])
    assert 0.03 < slices.std() < 0.07
    odd = slices[:, 1::2].mean(1) - slices[:, ::2].mean(1)
    assert odd.std() > 0.02  # more than the .017 of six independent slices would show


def test_the_signal_falls_off_towards_one_end():
    image = torch.full((8, 8, 40), 0.5)
    lost = Acquisition(-1, 1, (0.0,) * 3, 0.0, 0.0, falloff=0.3, falloff_axis=2, falloff_reach=20.0)
    seen = add_noise(rng(), image, lost) / 0.5
    assert torch.allclose(seen[..., :19], torch.ones(()))
    assert (seen[..., 20:].diff(dim=-1) < 0).all()
    assert seen[..., -1].mean() == pytest.approx(0.7, abs=1e-4)
    first = add_noise(rng(), image, dataclasses.replace(lost, falloff_last=False)) / 0.5
    assert torch.allclose(first.flip(-1), seen)
