"""Slices of 2 mm go out and come back to the same place."""

import numpy as np
import pytest
import torch

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.benchmark.slices import SliceSamples, cut_slices, join_slices
from anatomaly.volume import PreparedImage


def test_place_and_axes_survive():
    image, brain = np.zeros((32, 48, 16), np.float32), np.ones((32, 48, 16), bool)
    image[16:24, 4:12, 6:12] = 1
    slices = cut_slices(PreparedImage(image, brain, "T1w"))
    assert slices.image.shape == (8, 1, 16, 24)
    assert slices.image[3, 0, 8, 2] == 1
    assert slices.image.sum() == image.sum() / 8
    back = join_slices(slices.image, brain)
    assert back.shape == image.shape
    assert back[18:22, 6:10, 8:10].min() > 0.8  # the median filter rounds corners
    centre = np.argwhere(back > 0.5).mean(0)
    np.testing.assert_allclose(centre, np.argwhere(image > 0.5).mean(0), atol=0.6)


def test_the_rim_is_not_scored():
    brain = np.zeros((32, 32, 16), bool)
    brain[4:-4, 4:-4, :] = True
    score = join_slices(torch.ones(8, 1, 16, 16), brain)
    assert not score[~brain].any()
    assert not score[4:7].any()
    assert score[16, 16, 8] == 1


def test_sample_i_depends_on_i_alone(small_healthy):
    cut = [cut_slices(prepared) for prepared in small_healthy]
    samples = SliceSamples(cut, seed=1)
    again = SliceSamples(cut, seed=1)
    assert torch.equal(samples[5]["image"], again[5]["image"])
    drawn = {float(samples[n]["image"].sum()) for n in range(40)}
    assert len(drawn) > 10
    other = SliceSamples(cut, seed=2)
    assert any(not torch.equal(samples[n]["image"], other[n]["image"]) for n in range(5))


def test_what_is_refused(small_healthy):
    with pytest.raises(EvaluationError, match="no healthy image"):
        SliceSamples([], 0)
    empty = PreparedImage(np.zeros((32, 32, 4), np.float32), np.zeros((32, 32, 4), bool), "T1w")
    with pytest.raises(EvaluationError, match="enough brain"):
        SliceSamples([cut_slices(empty)], 0)
    odd = PreparedImage(np.zeros((30, 32, 4), np.float32), np.zeros((30, 32, 4), bool), "T1w")
    with pytest.raises(EvaluationError, match="divide by 16"):
        cut_slices(odd)
