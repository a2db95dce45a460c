"""Drawn brains: tissue, contrast and noise are what they say."""

import numpy as np
import pytest

from anatomaly.evaluation.experiments.drawn_brains import (
    NOISE,
    DrawnBrain,
    Means,
    draw_brain,
    means_of,
    render,
)
from anatomaly.geometry import TEMPLATE_SHAPE


def test_tissue_map_takes_the_largest_share_inside_the_brain():
    share = np.array([[0.6, 0.1, 0.2, 0.9], [0.3, 0.7, 0.2, 0.1], [0.1, 0.2, 0.6, 0.0]], np.float32)
    mask = np.array([True, True, True, False]).reshape(4, 1, 1)
    tissue = DrawnBrain(share.reshape(3, 4, 1, 1), mask).tissue_map
    assert tissue.ravel().tolist() == [1, 2, 3, 0]


def test_render_gives_each_tissue_its_mean_and_nothing_outside(balls):
    brain = balls.draw()
    image = render(brain, Means(csf=0.2, grey=0.5, white=0.8), 3)
    assert image.shape == balls.shape
    assert image.dtype == np.float32
    assert (image[~brain.brain_mask] == 0).all()
    assert image.min() == 0
    assert image.max() <= 1
    assert np.percentile(image[brain.brain_mask], 99.5) == pytest.approx(0.8, abs=1e-4)
    csf, grey, white = (image[brain.tissue_map == n].mean() for n in (1, 2, 3))
    assert csf < grey < white
    assert (grey - csf) / (white - csf) == pytest.approx(0.5, abs=0.06)  # texture of 2 %


def test_noise_has_its_size_and_a_seed(balls):
    brain, means = balls.draw(), Means(0.2, 0.5, 0.8)
    first, again, other = (render(brain, means, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    grey = brain.tissue_map == 2
    spread = (first - other)[grey].std() * 0.65 / 0.8 / np.sqrt(2)  # 0.65: about what became 0.8
    assert 0.8 * NOISE < spread < 2 * NOISE  # texture and bias field add to it


def test_jitter_moves_the_means_but_not_without_a_generator():
    assert means_of("T1w") == means_of("T1w") == Means(0.18, 0.55, 0.8)
    moved = means_of("T1w", np.random.default_rng(0))
    assert 0 < np.abs(np.subtract(moved, means_of("T1w"))).max() < 0.15


@pytest.mark.slow
def test_another_seed_is_another_person_and_a_deformation_is_not():
    first, same, other = draw_brain(0), draw_brain(0, lambda points: points), draw_brain(1)
    assert first.brain_mask.shape == TEMPLATE_SHAPE
    np.testing.assert_array_equal(first.tissue_map, same.tissue_map)
    assert 0.02 < (first.tissue_map != other.tissue_map)[first.brain_mask].mean() < 0.4
    assert 1_500_000 < first.brain_mask.sum() < 2_100_000  # mL·1000 of the template's brain
