"""Pooled figures against scikit-learn on all voxels at once, and against counting."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from anatomaly.errors import ConfigError, EvaluationError
from anatomaly.evaluation.metrics_pooled import (
    Overlap,
    ScoreHistogram,
    count_overlap,
    pooled_average_precision,
    pooled_dice,
    pooled_oracle_dice,
)

SHAPE = (31, 29, 23)


def draw(seed, kind="smooth"):
    """One scan: a brain, few lesion voxels (some outside the brain), scores of some shape."""
    rng = np.random.default_rng(seed)
    brain = rng.random(SHAPE) < 0.7
    lesion = rng.random(SHAPE) < 0.02
    raw = rng.normal(0, 1, SHAPE) + 1.5 * lesion
    score = {
        "smooth": 1 / (1 + np.exp(-raw)),
        "logit": raw,
        "tiny": np.exp(raw) * 1e-12,
        "huge": raw * 1e20,
        "rounded": np.round(raw, 1),
        "one value": np.zeros(SHAPE),
    }[kind]
    return score, lesion, brain


def count(scans, bits=22):
    histogram = ScoreHistogram(bits)
    for scan in scans:
        histogram.add(*scan)
    return histogram


def exact(scans):
    values = np.concatenate([score[brain] for score, _, brain in scans])
    truth = np.concatenate([lesion[brain] for _, lesion, brain in scans])
    return average_precision_score(truth, values)


def exact_oracle(scans):
    """Every threshold on the voxels of all scans, by sorting and counting from the top."""
    values = np.concatenate([score[brain] for score, _, brain in scans])
    truth = np.concatenate([lesion[brain] for _, lesion, brain in scans])
    total = sum(int(lesion.sum()) for _, lesion, _ in scans)
    best = 0.0
    for cut in np.unique(values):
        found = values >= cut
        best = max(best, 2 * (found & truth).sum() / (found.sum() + total))
    return best


@pytest.mark.parametrize("kind", ["smooth", "logit", "tiny", "huge", "rounded", "one value"])
def test_average_precision_over_scans(kind):
    """Error below 1e-4, and inside the bounds; the range of the score does not matter."""
    scans = [draw(seed, kind) for seed in range(4)]
    value, lower, upper = pooled_average_precision(count(scans))
    reference = exact(scans)
    assert value == pytest.approx(reference, abs=1e-4)
    assert lower - 1e-12 <= reference <= upper + 1e-12
    assert lower <= value <= upper
    if kind != "one value":
        assert reference > 1.5 * np.mean([lesion[brain].mean() for _, lesion, brain in scans])


@pytest.mark.parametrize("bits", [10, 11, 12, 14, 17])
def test_bounds_hold_where_rounding_is_coarse(bits):
    """The value is visibly off, so the bounds are put to the test."""
    scans = [draw(seed) for seed in range(4)]
    value, lower, upper = pooled_average_precision(count(scans, bits))
    reference = exact(scans)
    assert lower <= reference <= upper
    assert lower < value < upper
    assert abs(value - reference) > 1e-3


def test_bounds_are_reached_by_the_orders_that_they_stand_for():
    """One bin, five lesion and three other voxels: the best order is the upper bound exactly."""
    histogram = ScoreHistogram()
    histogram.lesion[3_000_000], histogram.other[3_000_000] = 5, 3
    histogram.lesion[3_000_001], histogram.other[3_000_001] = 2, 1
    _, lower, upper = pooled_average_precision(histogram)

    def precision_of(order):
        truth = np.array([*order[0], *order[1]])
        return average_precision_score(truth, -np.arange(len(truth)))

    ways = [
        precision_of((first, second))
        for first in set(itertools.permutations([1, 1, 0]))
        for second in set(itertools.permutations([1, 1, 1, 1, 1, 0, 0, 0]))
    ]
    assert lower <= min(ways) <= lower + 0.06  # a logarithm in the place of a sum
    tied = average_precision_score(
        [1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0], [9, 9, 8, 5, 5, 5, 5, 5, 1, 1, 1]
    )
    assert max(ways) <= tied <= upper
    assert upper == pytest.approx(tied, abs=1e-12)


def test_error_goes_down_with_bits():
    scans = [draw(seed) for seed in range(4)]
    widths = []
    for bits in (11, 13, 15, 17, 19):
        _, lower, upper = pooled_average_precision(count(scans, bits))
        widths.append(upper - lower)
    for wide, narrow in itertools.pairwise(widths[1:]):  # two bits: a fourth of the width
        assert narrow == pytest.approx(wide / 4, rel=0.25)
    assert widths[0] > 2 * widths[1]


def test_scores_that_single_precision_tells_apart_at_the_top():
    """All 32 bits cannot be asked for; two neighbours in one bin count as a tie."""
    brain = np.ones((1, 1, 2), bool)
    lesion = np.array([[[True, False]]])
    near = np.array([[[np.nextafter(np.float32(0.5), np.float32(1)), 0.5]]], np.float32)
    apart = np.array([[[0.5002, 0.5]]])
    assert pooled_average_precision(count([(near, lesion, brain)])) == (
        0.5,
        pytest.approx(0.307, abs=1e-3),
        1.0,
    )
    assert pooled_average_precision(count([(apart, lesion, brain)])).value == 1.0


def test_order_of_negative_scores_and_signed_zero():
    brain = np.ones((1, 1, 6), bool)
    score = np.array([[[-3.0, -1.0, -0.0, 0.0, 1.0, 3.0]]])
    for position in (0, 1, 4, 5):
        lesion = np.zeros(brain.shape, bool)
        lesion[0, 0, position] = True
        assert pooled_average_precision(count([(score, lesion, brain)], bits=16)).value == 1 / (
            6 - position
        )
    lesion = np.array([[[False, False, True, False, False, False]]])
    assert pooled_average_precision(count([(score, lesion, brain)], bits=16)).value == 1 / 4


@pytest.mark.parametrize("digits", [1, 3])
def test_oracle_dice_over_scans(digits):
    """Rounded scores fall into bins of their own, so the value is exact."""
    scans = [(np.round(s, digits), les, b) for s, les, b in map(draw, range(2))]
    assert any((lesion & ~brain).any() for _, lesion, brain in scans)
    value, lower, upper = pooled_oracle_dice(count(scans))
    assert value == pytest.approx(exact_oracle(scans), abs=1e-12)
    assert lower == value <= upper


def test_oracle_dice_is_enclosed_narrowly_where_scores_do_not_tie():
    value, _, upper = pooled_oracle_dice(count([draw(0), draw(1)]))
    assert 0 < upper - value < 1e-3


def test_zero_is_one_tie():
    """A score clipped at 0: what lies in its bin is known to tie, so the bounds stay narrow."""
    scans = [(np.maximum(s, 0), les, b) for s, les, b in (draw(0, "logit"), draw(1, "logit"))]
    _, lower, upper = pooled_average_precision(count(scans))
    assert lower <= exact(scans) <= upper
    assert upper - lower < 1e-3
    flat = draw(0, "one value")
    assert len(set(pooled_average_precision(count([flat])))) == 1
    assert len(set(pooled_oracle_dice(count([flat])))) == 1
    dust = (flat[0] + 1e-42 * flat[1], *flat[1:])
    assert pooled_average_precision(count([dust])) == pooled_average_precision(count([flat]))


def test_oracle_dice_bounds_the_exact_one_where_bins_are_wide():
    scans = [draw(seed, "rounded") for seed in range(2)]
    reference = exact_oracle(scans)
    _, lower, upper = pooled_oracle_dice(count(scans, bits=11))
    assert lower < reference < upper


def test_scans_without_a_lesion_lower_the_curve():
    sick = draw(0)
    score, lesion, brain = draw(1)
    healthy = (score, np.zeros_like(lesion), brain)
    alone = pooled_average_precision(count([sick])).value
    together = pooled_average_precision(count([sick, healthy])).value
    assert together == pytest.approx(exact([sick, healthy]), abs=1e-4)
    assert together < alone - 0.01


def test_no_lesion_anywhere_no_figure():
    score, lesion, brain = draw(0)
    nothing = count([(score, np.zeros_like(lesion), brain)])
    for figure in (*pooled_average_precision(nothing), *pooled_oracle_dice(nothing)):
        assert math.isnan(figure)
    outside = count([(score, lesion & ~brain, brain)])
    assert math.isnan(pooled_average_precision(outside).value)
    assert pooled_oracle_dice(outside) == (0.0, 0.0, 0.0)
    assert math.isnan(pooled_average_precision(ScoreHistogram()).value)


def test_memory_does_not_grow_with_scans():
    scan = draw(0)
    histogram = count([scan])

    def peak(repeats):
        tracemalloc.start()
        for _ in range(repeats):
            histogram.add(*scan)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    few = peak(2)
    assert peak(40) < 1.05 * few
    assert few < 2 * (1 << 22) * 16  # as much again as the histogram


def test_a_hundred_scans_are_a_hundred_times_one():
    scan = draw(0)
    once, often = count([scan], bits=12), count([scan] * 100, bits=12)
    assert (often.lesion == 100 * once.lesion).all() and (often.other == 100 * once.other).all()
    assert once.missed == (scan[1] & ~scan[2]).sum() > 0
    assert often.missed == 100 * once.missed
    assert once.lesion.sum() + once.other.sum() == scan[2].sum()


def test_dice_over_scans_is_not_the_mean_of_dice():
    masks = [(draw(seed)[0] > 0.8, draw(seed)[1]) for seed in range(3)]
    masks.append((masks[0][0], np.zeros(SHAPE, bool)))  # healthy: all found is wrong
    expected = 2 * sum(int((a & b).sum()) for a, b in masks)
    expected /= sum(int(a.sum()) + int(b.sum()) for a, b in masks)
    assert pooled_dice(count_overlap(a, b) for a, b in masks) == pytest.approx(expected)
    assert 0.02 < expected < 0.9


def test_dice_over_no_lesions_is_no_number():
    assert math.isnan(pooled_dice([]))
    assert math.isnan(pooled_dice([Overlap(found=5, true=0, both=0)]))
    assert pooled_dice([Overlap(found=0, true=3, both=0)]) == 0.0


def test_bits_and_range_are_checked():
    for bits in (9, 29):
        with pytest.raises(ConfigError, match="bits must lie in"):
            ScoreHistogram(bits)
    score, lesion, brain = draw(0)
    with pytest.raises(EvaluationError, match="float32"):
        ScoreHistogram().add(score * 1e300, lesion, brain)
