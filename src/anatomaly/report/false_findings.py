"""What a healthy brain shows by mistake, in plain words; `healthy.js` says the same live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anatomaly.healthy_volume import FalseMl, HealthyVolume

ORIGIN = "Measured on drawn scans of healthy people; a real scanner may show more."


def healthy_volume_of(run: Mapping[str, Any]) -> HealthyVolume | None:
    """Return what `run.json` tells of healthy brains; None where they were not measured so.

    Raises:
        WeightsError: it tells it in a form that cannot be.
    """
    told = run.get("healthy_ml")
    return HealthyVolume.from_json(told) if told else None


def false_ml_of(run: Mapping[str, Any]) -> FalseMl | None:
    """Return what healthy brains show at the threshold of a result; None where nobody knows.

    Raises:
        WeightsError: as `healthy_volume_of`.
    """
    curve = healthy_volume_of(run)
    return curve.at(float(run.get("threshold", 0.0))) if curve else None


def say_ml(volume_ml: float) -> str:
    """Return a volume in words, so exact that no piece becomes 0.0 mL.

    >>> say_ml(18.84), say_ml(0.031), say_ml(0.0)
    ('18.8 mL', '0.03 mL', '0.0 mL')
    """
    return f"{volume_ml:.2f} mL" if 0 < volume_ml < 0.095 else f"{volume_ml:.1f} mL"


def say_false_findings(false_ml: FalseMl | None) -> str:
    """Return the sentence that stands beside the slider; what is below .005 mL is nothing.

    >>> say_false_findings(FalseMl(0.0, 4.02))
    'At this threshold half of healthy brains show no false findings, 19 of 20 up to 4.0 mL.'
    """
    if false_ml is None:
        return "How much healthy brains show at so low a threshold was not measured."
    half, most = ("" if ml < 0.005 else f"up to {say_ml(ml)}" for ml in false_ml)
    found = f"{half} of" if half else "no"
    return (
        f"At this threshold half of healthy brains show {found} false findings, "
        f"19 of 20 {most or 'none'}."
    )
