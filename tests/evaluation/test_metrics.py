"""Average precision and Dice against sums written out."""

import math

import numpy as np
import pytest

from anatomaly.errors import GeometryError
from anatomaly.evaluation.metrics import average_precision, dice

SHAPE = (7, 5, 6)


def draw(seed):
    rng = np.random.default_rng(seed)
    brain = rng.random(SHAPE) < 0.8
    lesion = rng.random(SHAPE) < 0.15
    score = np.round(rng.random(SHAPE) + 0.3 * lesion, 1)  # rounded: ties
    return score, lesion, brain


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_by_brute_force(seed):
    score, lesion, brain = draw(seed)
    truth, values = lesion[brain], score[brain]
    expected, recall_before = 0.0, 0.0
    for cut in np.unique(values)[::-1]:
        found = values >= cut
        recall = (found & truth).sum() / truth.sum()
        expected += (recall - recall_before) * (found & truth).sum() / found.sum()
        recall_before = recall
    assert average_precision(score, lesion, brain) == pytest.approx(expected, abs=1e-12)
    assert 0.1 < expected < 0.95


def test_ends_of_the_scale():
    _, lesion, brain = draw(0)
    assert average_precision(lesion.astype(float), lesion, brain) == 1.0
    prevalence = lesion[brain].mean()
    assert average_precision(np.zeros(SHAPE), lesion, brain) == pytest.approx(prevalence)


def test_what_lies_outside_the_brain_does_not_count():
    score, lesion, brain = draw(1)
    changed = np.where(brain, score, 9.0)
    assert average_precision(changed, lesion | ~brain, brain) == average_precision(
        score, lesion, brain
    )


def test_no_lesion_no_figure():
    score, lesion, brain = draw(2)
    assert math.isnan(average_precision(score, lesion & ~brain, brain))


def test_shapes_must_agree():
    score, lesion, brain = draw(3)
    with pytest.raises(GeometryError, match="shapes differ"):
        average_precision(score[1:], lesion, brain)


@pytest.mark.parametrize("seed", range(3))
def test_dice_by_counting(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random(SHAPE) < 0.4, rng.random(SHAPE) < 0.3
    first, second = ({tuple(p) for p in np.argwhere(m)} for m in (a, b))
    expected = 2 * len(first & second) / (len(first) + len(second))
    assert dice(a, b) == pytest.approx(expected)
    assert dice(a, a) == 1.0
    assert dice(a, ~a) == 0.0


def test_dice_of_two_empty_masks_is_no_number():
    assert math.isnan(dice(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)))
