"""How many mL of a healthy brain are found abnormal at each threshold, all of them false.

The card of weights carries it for each sequence (`WeightsCard.healthy_ml`), `train calibrate`
measures it, and the page says it beside the slider of the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from anatomaly.errors import WeightsError
from anatomaly.types import FloatArray

HALF, MOST = 0.5, 0.95
"""Shares of healthy brains that stay within `half` and within `most`."""

THRESHOLDS = (0.01, 0.02, *(step / 20 for step in range(1, 20)))
"""Where it is measured."""


class FalseMl(NamedTuple):
    """What healthy brains show at one threshold: half of them, and 19 of 20, stay within, mL."""

    half: float
    most: float


class HealthyVolume(NamedTuple):
    """False findings in healthy brains against the threshold; all of one length.

    Attributes:
        threshold: on the anomaly map, ascending, in [0, 1].
        half: mL that half of healthy brains stay within.
        most: mL that 95 % of them stay within.
    """

    threshold: tuple[float, ...]
    half: tuple[float, ...]
    most: tuple[float, ...]

    def at(self, threshold: float) -> FalseMl | None:
        """Return what healthy brains show at a threshold; None below the lowest measured one.

        Linear in between; above the highest one its values hold as upper bounds, because a
        higher threshold never finds more.

        >>> curve = HealthyVolume((0.2, 0.4), (3.0, 1.0), (9.0, 5.0))
        >>> curve.at(0.3), curve.at(0.9), curve.at(0.1)
        (FalseMl(half=2.0, most=7.0), FalseMl(half=1.0, most=5.0), None)
        """
        if threshold < self.threshold[0]:
            return None
        half, most = (float(np.interp(threshold, self.threshold, ml)) for ml in self[1:])
        return FalseMl(half, most)

    def to_json(self) -> dict[str, list[float]]:
        """Return the form that the card holds."""
        return {name: list(values) for name, values in self._asdict().items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> HealthyVolume:
        """Read the form that the card holds; further entries are left alone.

        Raises:
            WeightsError: an entry is missing, of another length, or no such figures.
        """
        try:
            curve = cls(*(tuple(float(value) for value in content[name]) for name in cls._fields))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"healthy volumes need lists of numbers called {', '.join(cls._fields)}, got "
                f"{content!r:.200}"
            ) from error
        if wrong := curve._find_fault():
            raise WeightsError(f"healthy volumes: {wrong}; run `anatomaly train calibrate` again")
        return curve

    def _find_fault(self) -> str:
        """Say what is wrong with the figures; nothing if nothing is."""
        if not self.threshold or len({len(values) for values in self}) > 1:
            return f"lists of {', '.join(str(len(values)) for values in self)} values"
        table = np.array(self)
        threshold, half, most = table
        if not np.isfinite(table).all() or (table < 0).any() or threshold[-1] > 1:
            return "a value is not finite, is negative, or is a threshold above 1"
        if (np.diff(threshold) <= 0).any():
            return "thresholds do not ascend"
        return "fewer mL in 95 % of brains than in half of them" if (most < half).any() else ""


def measure_healthy_volume(
    anomaly_maps: Sequence[FloatArray],
    volume_at: Callable[[FloatArray, float], float],
    thresholds: Sequence[float] = THRESHOLDS,
) -> HealthyVolume:
    """Measure what is found in healthy brains at each threshold.

    Args:
        anomaly_maps: of healthy brains, any shape, 0 outside the scored brain; one at least.
        volume_at: mL of the mask that a map has at a threshold, by the rule that makes the mask.
        thresholds: ascending, in [0, 1].

    Returns:
        Median and 95th percentile over the brains (linear between them), in µL steps.
    """
    volumes = np.array([[volume_at(m, t) for t in thresholds] for m in anomaly_maps])
    half, most = np.quantile(volumes, (HALF, MOST), axis=0).round(3).tolist()
    return HealthyVolume(tuple(thresholds), tuple(half), tuple(most))
