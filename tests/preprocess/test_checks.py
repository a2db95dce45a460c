from __future__ import annotations

from dataclasses import replace

import pytest

from anatomaly.preprocess.checks import doubts_about, doubts_about_coverage, refusal_of
from anatomaly.preprocess.quality import Fit

GOOD = Fit(0.95, 0.07, 0.0, 0.4, 2.0, 0.0, 1.1)


def test_right_fit_is_neither_refused_nor_doubted():
    assert refusal_of(GOOD) is None and doubts_about(GOOD) is None


@pytest.mark.parametrize("missing", [0.0, 0.25])
def test_outline_of_a_part_says_less(missing):
    fit = replace(GOOD, outline_margin=0.025, missing=missing)
    assert (doubts_about(fit) is None) == (missing > 0)


@pytest.mark.parametrize("tissues", [{"correlation": 0.05}, {"margin": 1.0}])
def test_flat_contrast_alone_never_refuses(tissues):
    assert refusal_of(replace(GOOD, **tissues)) is None


def test_a_doubtful_outline_with_clear_tissues_is_not_refused():
    assert refusal_of(replace(GOOD, outline_margin=-0.05)) is None
    assert "the wrong way round" in doubts_about(replace(GOOD, outline_margin=-0.05))


def test_only_the_sides_that_matter_are_named():
    said = doubts_about_coverage(0.3, {"top": 0.29, "bottom": 0.01})
    assert "(top)" in said
    assert doubts_about_coverage(0.02, {"top": 0.02}) is None
