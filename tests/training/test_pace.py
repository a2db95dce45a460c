"""Shares of a stage and of a budget, by a clock that the test moves."""

import pytest

from anatomaly.errors import TrainingError
from anatomaly.training.pace import Budget, Pace


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_by_steps_the_clock_does_not_count():
    clock = Clock()
    pace = Pace(4, clock=clock)
    clock.now += 1e6
    assert [pace.share(step) for step in (0, 1, 4, 9)] == [0.0, 0.25, 1.0, 1.0]
    assert [pace.ends_after(step) for step in range(4)] == [False, False, False, True]
    assert pace.warm(9, 0.9) == 0.1


def test_by_the_clock_a_stage_ends_before_a_step_that_would_be_too_late():
    clock = Clock()
    pace, ended = Pace(0, seconds=10.0, clock=clock), []
    for step, seconds in enumerate((1, 4, 1, 1.5)):
        clock.now += seconds
        ended.append(pace.ends_after(step))
    # after 7.5 s one more as long as the longest, of 4 and by now .64 of that, ends at 10.06
    assert ended == [False, False, False, True]
    assert pace.share(3) == pytest.approx(0.75)
    clock.now += 100
    assert pace.share(4) == 1.0


def test_a_slow_first_step_is_forgotten():
    clock = Clock()
    begun, pace, step = clock.now, Pace(0, seconds=30.0, clock=clock), 0
    clock.now += 10  # kernels are chosen
    while not pace.ends_after(step):
        clock.now, step = clock.now + 0.1, step + 1
    assert 29.8 < clock.now - begun < 30.01


def test_a_stage_goes_on_from_its_share():
    clock = Clock()
    pace = Pace(0, seconds=10.0, before=0.6, clock=clock)
    clock.now += 5
    assert pace.share(0) == pytest.approx(0.8)


def test_the_warm_up_is_short_where_the_stage_is_short():
    pace = Pace(0, seconds=10.0)
    assert pace.warm(0, 0.025) == pytest.approx(0.5) and pace.warm(0, 0.05) == 1.0
    assert pace.warm(49, 0.0) == 0.5


def test_what_is_left_goes_to_the_stages_by_their_shares():
    clock = Clock()
    budget = Budget(540.0, clock)
    clock.now += 40  # preparation
    margin = 0.03 * 540
    first = budget.seconds_for("a", {"a": 1.0, "b": 3.0})
    assert first == pytest.approx((500 - margin) / 4)
    clock.now += first + 8  # a step too long: the next stage pays
    assert budget.seconds_for("b", {"b": 3.0}) == pytest.approx(500 - margin - first - 8)
    clock.now = 1000 + 540 - margin
    with pytest.raises(TrainingError, match="b: no time left of 9 minutes"):
        budget.seconds_for("b", {"b": 3.0})


def test_the_margin_of_a_small_budget_is_a_tenth():
    assert Budget(10.0, Clock()).left() == pytest.approx(9.0)
    assert Budget(100.0, Clock()).left() == pytest.approx(95.0)


def test_without_a_budget_there_is_no_limit():
    assert Budget(0.0, Clock()).seconds_for("a", {"a": 1.0}) == 0.0
