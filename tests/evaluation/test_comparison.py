"""Means and differences over people against scipy's bootstrap and against all resamples."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.comparison import estimate_mean, estimate_strata, paired_difference

NAN = float("nan")


def draw(seed, count=25):
    """Two methods on the same scans: hard ones are hard for both."""
    rng = np.random.default_rng(seed)
    hardness = rng.uniform(0.1, 0.9, count)
    first = hardness + rng.normal(0.03, 0.05, count)
    second = hardness + rng.normal(0.0, 0.05, count)
    return first.tolist(), second.tolist(), [f"p{i}" for i in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_difference_by_scipy(seed):
    """Percentile ends of 5,000 draws differ by about .03 of the width between generators."""
    first, second, people = draw(seed)
    mine = paired_difference(first, second, people, seed=seed)
    other = stats.bootstrap(
        (first, second),
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(seed + 100),
    ).confidence_interval
    width = other.high - other.low
    assert mine.low == pytest.approx(other.low, abs=0.06 * width)
    assert mine.high == pytest.approx(other.high, abs=0.06 * width)
    assert mine.mean == pytest.approx(np.mean(first) - np.mean(second), abs=1e-12)


def test_pairs_are_kept_together():
    """Unpaired, what makes scans hard would widen the interval some five times."""
    first, second, people = draw(0)
    paired = paired_difference(first, second, people, seed=0)
    alone = estimate_mean(first, people, seed=0)
    assert paired.high - paired.low < 0.4 * (alone.high - alone.low)


def test_sign_and_swap():
    first, second, people = draw(1)
    there = paired_difference(first, second, people, seed=0)
    back = paired_difference(second, first, people, seed=0)
    assert there.mean == pytest.approx(-back.mean)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    better = paired_difference([0.9, 0.8], [0.1, 0.2], ["a", "b"], seed=0)
    assert better.mean == pytest.approx(0.7) and better.low > 0


def test_people_are_drawn_not_scans():
    """Person a has a hundred scans: still one of three people."""
    values = [0.0] * 100 + [0.6, 0.9]
    people = ["a"] * 100 + ["b", "c"]
    found = estimate_mean(values, people, seed=0)
    assert (found.mean, found.people, found.scans) == (pytest.approx(0.5), 3, 102)
    means = sorted(np.mean(p) for p in itertools.product([0.0, 0.6, 0.9], repeat=3))
    assert (found.low, found.high) == (pytest.approx(means[0]), pytest.approx(means[-1]))
    assert estimate_mean([0.0, 0.6, 0.9], ["a", "b", "c"], seed=0)[:3] == found[:3]


def test_what_has_no_figure_is_left_out():
    found = estimate_mean([0.2, NAN, 0.4, NAN], ["a", "a", "b", "c"], seed=0)
    assert (found.mean, found.people, found.scans) == (pytest.approx(0.3), 2, 2)
    empty = estimate_mean([NAN], ["a"], seed=0)
    assert math.isnan(empty.mean) and (empty.people, empty.scans) == (0, 0)
    difference = paired_difference([0.5, NAN], [0.25, NAN], ["a", "b"], seed=0)
    assert difference == (0.25, 0.25, 0.25, 1, 1)


def test_what_is_refused():
    with pytest.raises(EvaluationError, match="b: one method has a figure"):
        paired_difference([0.5, NAN], [0.25, 0.3], ["a", "b"], seed=0)
    with pytest.raises(EvaluationError, match="1 and 2 values for 2 scans"):
        paired_difference([0.5], [0.25, 0.3], ["a", "b"], seed=0)
    with pytest.raises(EvaluationError, match="2 values for 1 scans"):
        estimate_mean([0.5, 0.4], ["a"], seed=0)
    with pytest.raises(EvaluationError, match="of a is infinite"):
        estimate_mean([math.inf], ["a"], seed=0)
    with pytest.raises(EvaluationError, match="lacks person"):
        estimate_strata([{"ap": 0.1, "sequence": "T1w"}], "ap", ["sequence"], seed=0)


def test_strata():
    rows = [
        {"person": p, "ap": ap, "sequence": s, "sex": sex}
        for p, ap, s, sex in [
            ("a", 0.1, "T1w", "F"), ("a", 0.5, "FLAIR", "F"), ("b", 0.3, "T1w", None),
            ("c", 0.2, "T1w", "F"), ("d", NAN, "FLAIR", "F"),
        ]
    ]  # fmt: skip
    found = estimate_strata(rows, "ap", ["sequence", "sex"], seed=0)
    assert list(found) == [("T1w", "F"), ("FLAIR", "F"), ("T1w", None)]
    assert found["T1w", "F"].mean == pytest.approx(0.15)
    assert [e.scans for e in found.values()] == [2, 1, 1]
    whole = estimate_strata(rows, "ap", [], seed=0)
    assert list(whole) == [()] and whole[()].people == 3
    assert whole[()].mean == pytest.approx((0.3 + 0.3 + 0.2) / 3)
