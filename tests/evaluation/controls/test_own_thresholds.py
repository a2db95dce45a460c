"""Joined controls, against figures worked out by hand."""

import numpy as np
import pytest

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.controls.control import Control, SparseMap
from anatomaly.evaluation.controls.own_thresholds import doubts_about_number, join_controls
from anatomaly.healthy_volume import THRESHOLDS
from anatomaly.method import PAPER
from anatomaly.volume import Volume

SHAPE = (20, 20, 40)


def control(score: float, ml: float) -> Control:
    """Somebody with so many mL at one score."""
    data = np.zeros(SHAPE, np.float32)
    data.flat[: round(1000 * ml)] = score
    volume = Volume(data, np.eye(4))
    curve = tuple(ml if threshold < score else 0.0 for threshold in THRESHOLDS)
    at_half, at_most = (score if ml > budget else 0.0 for budget in (1.0, 5.0))
    sparse = SparseMap.of(volume, volume.with_data(data > 0))
    return Control(f"sub-{score}", "T1w", sparse, PAPER, at_half, at_most, curve)


def test_the_threshold_is_that_of_the_rule():
    people = [control(score, 2.0) for score in (0.1, 0.2, 0.3, 0.4, 0.5)]
    own = join_controls(people)
    assert own.threshold == pytest.approx(0.3)  # half of them within 1 mL
    assert own.low <= own.threshold <= own.high
    assert own.low >= 0.1 and own.high <= 0.5
    assert own.curve.at(0.35).half == pytest.approx(0.0)
    # two of the four others may be above: they ask for .3 without .1 or .2, for .2 without the rest
    assert own.left_out_ml == (0.0, 0.0, 2.0, 2.0, 2.0)
    assert (own.keeps_half, own.keeps_most) == (2, 5)


def test_ten_are_all_kept_within_five_and_of_twenty_one_may_be_above():
    quiet, loud = control(0.1, 2.0), control(0.9, 8.0)
    own = join_controls([quiet] * 9 + [loud])
    assert own.threshold == pytest.approx(0.9)
    assert loud.found_ml(own.threshold) == 0
    assert own.left_out_ml[-1] == pytest.approx(8.0)  # the others did not know of it
    assert own.to_json()["left_out_ml"][-1] == pytest.approx(8.0)
    assert own.to_json()["controls"] == 10
    assert own.curve.at(0.5).most == pytest.approx(8.0)
    assert join_controls([quiet] * 19 + [loud]).threshold == pytest.approx(0.1)
    assert join_controls([quiet] * 18 + [loud] * 2).threshold == pytest.approx(0.9)


def test_the_interval_is_that_of_the_seed_and_shrinks_with_people():
    few = [control(score, 2.0) for score in np.linspace(0.1, 0.5, 6)]
    many = [control(score, 2.0) for score in np.linspace(0.1, 0.5, 60)]
    assert join_controls(few, seed=1) == join_controls(few, seed=1)
    width = [own.high - own.low for own in map(join_controls, (few, many))]
    assert width[1] < 0.6 * width[0]


def test_too_few_are_refused_with_what_would_do():
    with pytest.raises(EvaluationError, match="4 healthy controls: a threshold needs 5"):
        join_controls([control(0.2, 2.0)] * 4)


def test_it_is_said_what_few_cannot_tell():
    (said,) = doubts_about_number(9)
    assert "one in 10 further" in said
    assert doubts_about_number(25) == []
