from __future__ import annotations

import pytest

from anatomaly.preprocess.appearance import Appearance
from anatomaly.preprocess.unusual import find_doubts, shows_an_adult

ADULT = {
    "brain_ml": 1400.0,
    "finest_mm": 1.0,
    "cover_signal": 0.8,
    "cover_mm": 14.0,
    "girth_mm": 560.0,
    "vein_brightness": 1.05,
    "bright_ml": 0.1,
}
"""What healthy heads measure (benchmarks/results/unusual.md)."""

SEQUENCES = ("T1w", "T2w", "FLAIR")


def _doubts(sequence="T1w", **changed):
    return find_doubts(Appearance(**ADULT | changed), sequence)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"girth_mm": 514.0},  # the smallest of the healthy heads, with 12.9 mm around the brain
        {"brain_ml": 1766.0, "cover_mm": 10.5, "girth_mm": 581.0},  # a mask that is too generous
        {"cover_signal": 0.43},  # the faintest scalp, fat suppressed
        {"cover_signal": None, "cover_mm": None, "girth_mm": None},  # stripped
        {"girth_mm": None, "cover_mm": 10.0},  # cut off by the field of view
    ],
)
def test_adults_raise_no_doubt(sequence, changed):
    assert _doubts(sequence, **changed) == ()


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_head_without_scalp_is_told_with_its_signal_and_refused_where_it_is_coarse(sequence):
    nothing = {"cover_signal": 0.06, "cover_mm": None, "girth_mm": None}
    (fine,) = _doubts(sequence, **nothing)
    (coarse,) = _doubts(sequence, **nothing, finest_mm=2.0)
    assert "0.06 of the brain's" in fine.text and "echo-planar" in fine.text
    assert not fine.is_great
    assert coarse.is_great and coarse.text.endswith("go on with --force")


def test_coarse_stripped_scan_is_told_but_not_a_coarse_t1w_or_head():
    stripped = {"finest_mm": 2.0, "cover_signal": None, "cover_mm": None, "girth_mm": None}
    (doubt,) = _doubts("T2w", **stripped)
    assert "finer than 2.0 mm" in doubt.text and not doubt.is_great
    assert _doubts("T1w", **stripped) == ()
    assert _doubts("T2w", finest_mm=2.0) == ()


@pytest.mark.parametrize(
    ("changed", "said", "great"),
    [
        ({"girth_mm": 490.0}, "49.0 cm", False),
        ({"girth_mm": 518.0, "cover_mm": 9.0}, "skull and scalp of 9 mm", False),
        ({"girth_mm": None, "cover_mm": 9.0, "brain_ml": 1150.0}, "skull and scalp of 9 mm", False),
        ({"girth_mm": None, "brain_ml": 950.0}, "950 mL", False),
        ({"girth_mm": 450.0, "brain_ml": 750.0}, "750 mL", True),
        ({"girth_mm": 560.0, "brain_ml": 750.0}, "750 mL", False),  # a poor mask, not a child
        ({"girth_mm": None, "cover_signal": None, "brain_ml": 750.0}, "750 mL", False),  # no CSF?
    ],
)
def test_small_head_is_told(changed, said, great):
    (doubt,) = _doubts(**changed)
    assert said in doubt.text and "child" in doubt.text
    assert doubt.is_great == great


def test_bright_veins_are_told_in_t1w_alone():
    (doubt,) = _doubts("T1w", vein_brightness=1.8, bright_ml=6.0)
    assert "1.8 times" in doubt.text and "6 mL" in doubt.text and not doubt.is_great
    assert _doubts("FLAIR", vein_brightness=1.8, bright_ml=50.0) == ()
    assert _doubts("T1w", vein_brightness=None, bright_ml=None) == ()


def test_several_marks_are_all_told():
    doubts = _doubts(girth_mm=480.0, vein_brightness=2.0)
    assert {doubt.kind for doubt in doubts} == {"infant", "contrast agent"}


def test_image_may_tell_the_sequence_of_adults_only():
    assert shows_an_adult(Appearance(**ADULT))
    assert not shows_an_adult(Appearance(**ADULT | {"girth_mm": 480.0}))
    assert not shows_an_adult(Appearance(**ADULT | {"cover_signal": 0.05}))
    assert shows_an_adult(Appearance(**ADULT | {"vein_brightness": 3.0}))
