"""The page may not doubt what the gate lets pass: the two may not import each other."""

from __future__ import annotations

import pytest

from anatomaly.preprocess import checks
from anatomaly.report.answer import _GOOD, QUALITY

LIMITS = {
    "dice": (0, checks.USUAL_DICE),
    "outline_margin": (0, checks.USUAL_OUTLINE_MARGIN),
    "correlation": (0, checks.USUAL_CORRELATION),
    "margin": (0, checks.USUAL_MARGIN),
    "shift_mm": (1, checks.MOST_SHIFT_MM),
    "stretch": (1, checks.USUAL_STRETCH),
    "missing": (1, checks.USUAL_MISSING),
}


@pytest.mark.parametrize("name", LIMITS)
def test_page_and_gate_have_the_same_limits(name):
    end, limit = LIMITS[name]
    assert _GOOD[name][end] == limit


def test_every_measure_of_the_gate_is_on_the_page():
    assert set(QUALITY) == {"brain_ml", *LIMITS} == set(_GOOD)
