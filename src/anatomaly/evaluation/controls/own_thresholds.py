"""The threshold that controls ask for, tried on each of them by the others, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from anatomaly.config import GOOD_CONTROLS, MOST_HEALTHY_ML, USUAL_HEALTHY_ML
from anatomaly.errors import EvaluationError
from anatomaly.evaluation.controls.control import Control
from anatomaly.healthy_volume import HALF, MOST, THRESHOLDS, HealthyVolume
from anatomaly.thresholds import join_thresholds
from anatomaly.types import FloatArray

LEAST_CONTROLS = 5
"""With fewer no threshold is given; below `GOOD_CONTROLS` it is said how little they know of the
worst of twenty healthy scans."""

DRAWS = 2000
INTERVAL = (0.05, 0.95)


class OwnThreshold(NamedTuple):
    """What the controls of one sequence say.

    Attributes:
        threshold: keeps half of them within `USUAL_HEALTHY_ML` and 95 % within `MOST_HEALTHY_ML`.
        low: 5th percentile of the thresholds of resampled controls (bootstrap).
        high: 95th percentile.
        left_out_ml: found in each control at the threshold of all others, in their order.
        curve: what is found in them at each threshold.
    """

    threshold: float
    low: float
    high: float
    left_out_ml: tuple[float, ...]
    curve: HealthyVolume

    @property
    def keeps_half(self) -> int:
        """How many controls stay within `USUAL_HEALTHY_ML` at the threshold of the others."""
        return sum(ml <= USUAL_HEALTHY_ML for ml in self.left_out_ml)

    @property
    def keeps_most(self) -> int:
        """How many stay within `MOST_HEALTHY_ML`."""
        return sum(ml <= MOST_HEALTHY_ML for ml in self.left_out_ml)

    def to_json(self) -> dict[str, Any]:
        """Return what the card of the weights keeps."""
        return {
            "controls": len(self.left_out_ml),
            "threshold_interval": [round(self.low, 4), round(self.high, 4)],
            "left_out_ml": sorted(round(ml, 2) for ml in self.left_out_ml),
        }


def join_controls(controls: Sequence[Control], seed: int = 0) -> OwnThreshold:
    """Join the controls of one sequence.

    Args:
        controls: `LEAST_CONTROLS` or more.
        seed: of the bootstrap.

    Raises:
        EvaluationError: there are too few.
    """
    number = len(controls)
    if number < LEAST_CONTROLS:
        raise EvaluationError(
            f"{number} healthy controls: a threshold needs {LEAST_CONTROLS} or more of one "
            f"sequence, and {GOOD_CONTROLS} to know what nearly all healthy scans show"
        )
    at = np.array([(control.at_half, control.at_most) for control in controls])
    rng = np.random.default_rng(seed)
    drawn = [_join(at[rng.integers(number, size=number)]) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, INTERVAL)
    left_out = [
        control.found_ml(_join(np.delete(at, index, axis=0)))
        for index, control in enumerate(controls)
    ]
    curves = [control.curve for control in controls]
    half, most = np.quantile(curves, (HALF, MOST), axis=0, method="inverted_cdf").tolist()
    return OwnThreshold(
        math.ceil(_join(at) * 1e4) / 1e4,
        float(low),
        float(high),
        tuple(left_out),
        HealthyVolume(THRESHOLDS, tuple(half), tuple(most)),
    )


def _join(at: FloatArray) -> float:
    """Return the threshold of controls (N, 2): what each asks for by both budgets."""
    return join_thresholds(*at.T, strict=True)


def doubts_about_number(number: int) -> list[str]:
    """Say what so few controls cannot tell; nothing where there are enough.

    >>> doubts_about_number(20)
    []
    """
    if number >= GOOD_CONTROLS:
        return []
    return [
        f"{number} controls: the threshold leaves the worst of them within "
        f"{MOST_HEALTHY_ML:.0f} mL, and one in {number + 1} further healthy scans is expected to "
        f"show more than that one; {GOOD_CONTROLS} or more make the promise of 95 %"
    ]
