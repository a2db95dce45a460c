"""How far a training is, by steps or by the clock, and what time is left for what."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from anatomaly.errors import TrainingError

Clock = Callable[[], float]
"""Returns seconds; only differences count."""

WARM_UP_STEPS, WARM_UP_SHARE = 100, 0.05
"""The rate rises over so many steps or, by the clock, over so much of the time if that is less."""

FORGET = 0.8
"""What is left, one step later, of how long a step took."""

LEAST_MARGIN_SECONDS, MARGIN_SHARE = 5.0, 0.03
"""What is kept of a budget for writing the weights and leaving."""


@dataclass
class Pace:
    """How far one stage is.

    Attributes:
        steps: length; counts where `seconds` is 0.
        seconds: what the stage may take from now on; 0 for no limit.
        before: share of the stage that was done earlier, by the clock.
        clock: for tests.
    """

    steps: int
    seconds: float = 0.0
    before: float = 0.0
    clock: Clock = time.monotonic

    def __post_init__(self) -> None:
        """Start the clock."""
        self.begun = self.last = self.clock()
        self.longest = 0.0

    def share(self, step: int) -> float:
        """Share of the stage that is done before a step, in [0, 1]."""
        if self.seconds <= 0:
            return min(1.0, step / self.steps)
        passed = (self.clock() - self.begun) / self.seconds
        return min(1.0, self.before + (1 - self.before) * passed)

    def ends_after(self, step: int) -> bool:
        """Whether a step was the last: there is no time for one more as long as the longest.

        The first step chooses kernels and may take a hundred times as long: what a step took
        counts less with each one that follows.
        """
        now = self.clock()
        self.longest, self.last = max(FORGET * self.longest, now - self.last), now
        if self.seconds <= 0:
            return step + 1 >= self.steps
        return now - self.begun + self.longest > self.seconds

    def warm(self, step: int, share: float) -> float:
        """Share of the rate that the warm-up allows."""
        warm = (step + 1) / WARM_UP_STEPS
        if self.seconds > 0:
            warm = max(warm, share / WARM_UP_SHARE)
        return min(1.0, warm)


class Budget:
    """The time that a command may take, from its first line to its last.

    Args:
        seconds: all of it; 0 for no limit.
        clock: for tests.
    """

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self.seconds, self.clock, self.begun = seconds, clock, clock()

    def left(self) -> float:
        """Seconds left to train, without the margin in which weights are written."""
        margin = max(MARGIN_SHARE * self.seconds, min(LEAST_MARGIN_SECONDS, 0.1 * self.seconds))
        return self.begun + self.seconds - margin - self.clock()

    def seconds_for(self, name: str, shares: Mapping[str, float]) -> float:
        """Seconds of a stage: its part of what is left.

        Args:
            name: of the stage.
            shares: of this stage and of all that come after it, in any unit.

        Raises:
            TrainingError: no time is left.
        """
        if self.seconds <= 0:
            return 0.0
        seconds = self.left() * shares[name] / sum(shares.values())
        if seconds <= 0:
            raise TrainingError(f"{name}: no time left of {self.seconds / 60:g} minutes")
        return seconds
