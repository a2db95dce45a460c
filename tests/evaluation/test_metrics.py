"""Average precision and Dice against sums written out."""

import math

import numpy as np
import pytest

from anatomaly.errors import GeometryError
from anatomaly.evaluation.metrics import (
    average_precision,
    bootstrap_interval,
    dice,
    dice_at_threshold,
    oracle_dice,
)

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


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [0.3, 0.55, 0.8])
def test_dice_at_a_threshold_by_counting(seed, threshold):
    """Rounded scores: 0.3 and 0.8 themselves are not found; lesion outside the brain is missed."""
    score, lesion, brain = draw(seed)
    found = {tuple(p) for p in np.argwhere(brain) if score[tuple(p)] > threshold}
    true = {tuple(p) for p in np.argwhere(lesion)}
    assert true - {tuple(p) for p in np.argwhere(brain)}
    expected = 2 * len(found & true) / (len(found) + len(true))
    assert dice_at_threshold(score, lesion, brain, threshold) == pytest.approx(expected)
    assert expected <= oracle_dice(score, lesion, brain)


def test_dice_at_a_threshold_without_lesion_or_without_anything_found():
    score, lesion, brain = draw(0)
    nothing = np.zeros(SHAPE, bool)
    assert math.isnan(dice_at_threshold(score, nothing, brain, 0.5))
    assert math.isnan(dice_at_threshold(score, nothing, brain, 9.0))
    assert dice_at_threshold(score, lesion, brain, 9.0) == 0.0
    assert dice_at_threshold(score, lesion, nothing, 0.0) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_dice_of_another_library(seed):
    monai = pytest.importorskip("monai.metrics", reason="MONAI is not installed")
    torch = pytest.importorskip("torch")
    score, lesion, brain = draw(seed)
    found = (score > 0.6) & brain
    other = monai.compute_dice(
        torch.from_numpy(found)[None, None].float(), torch.from_numpy(lesion)[None, None].float()
    )
    expected = pytest.approx(float(other), abs=1e-6)
    assert dice(found, lesion) == expected
    assert dice_at_threshold(score, lesion, brain, 0.6) == expected


@pytest.mark.parametrize("seed", range(5))
def test_oracle_dice_by_trying_every_threshold(seed):
    """Lesion voxels outside the brain cannot be found, but are missed."""
    score, lesion, brain = draw(seed)
    tried = [dice((score >= cut) & brain, lesion) for cut in np.unique(score[brain])]
    assert (lesion & ~brain).any()
    assert oracle_dice(score, lesion, brain) == pytest.approx(max(tried), abs=1e-12)
    assert 0.2 < max(tried) < 0.95


def test_ends_of_oracle_dice():
    _, lesion, brain = draw(0)
    inside = lesion & brain
    assert oracle_dice(inside.astype(float), inside, brain) == 1.0
    # one value everywhere: all of the brain or nothing
    even = oracle_dice(np.zeros(SHAPE), inside, brain)
    assert even == pytest.approx(2 * inside.sum() / (brain.sum() + inside.sum()))
    assert oracle_dice(np.zeros(SHAPE), ~brain, brain) == 0.0
    assert oracle_dice(np.zeros(SHAPE), lesion, np.zeros(SHAPE, bool)) == 0.0
    assert math.isnan(oracle_dice(np.zeros(SHAPE), np.zeros(SHAPE, bool), brain))


def test_bootstrap_interval_is_about_that_of_a_normal_mean():
    """Of 400 subjects: mean ± 1.96 errors, within a tenth of the interval's width."""
    values = np.random.default_rng(0).normal(0.5, 0.2, 400)
    error = values.std() / 20
    low, high = bootstrap_interval(list(values), seed=1)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.4 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.4 * error)
    inner = bootstrap_interval(list(values), seed=1, level=0.5)
    assert inner[0] == pytest.approx(values.mean() - 0.674 * error, abs=0.2 * error)
    assert inner[1] == pytest.approx(values.mean() + 0.674 * error, abs=0.2 * error)


def test_bootstrap_interval_of_two_subjects_by_hand():
    """Means are 0, .5 and 1 with chances 1/4, 1/2 and 1/4."""
    assert bootstrap_interval([0.0, 1.0], seed=3) == (0.0, 1.0)
    assert bootstrap_interval([0.0, 1.0], seed=3, level=0.4) == (0.5, 0.5)
    assert bootstrap_interval([0.3], seed=3) == (0.3, 0.3)


def test_a_seed_repeats_the_interval():
    values = [0.1, 0.5, 0.2, 0.9, 0.4]
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1, draws=50) != bootstrap_interval(
        values, seed=2, draws=50
    )


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [float("inf")]])
def test_no_interval_without_finite_values(values):
    with pytest.raises(ValueError, match="finite values"):
        bootstrap_interval(values, seed=0)
