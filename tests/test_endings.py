"""One list of endings: what has one of them is opened, named and listed as a scan."""

from __future__ import annotations

import pytest

from anatomaly.endings import HEADER_ENDINGS, SCAN_ENDINGS, has_ending, without_ending


@pytest.mark.parametrize("ending", SCAN_ENDINGS)
@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_each_ending_is_seen_and_taken_off(ending: str, change: type):
    name = "sub-01.a_T1w" + change(ending)
    assert has_ending(name)
    assert without_ending(name) == "sub-01.a_T1w"


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.gz", "scannii", "scan.nii.bz2", "hdr", ""])
def test_other_names_are_left_alone(name: str):
    assert not has_ending(name)
    assert without_ending(name) == name


def test_only_the_endings_asked_for():
    assert has_ending("a.HDR", HEADER_ENDINGS)
    assert not has_ending("a.nii", HEADER_ENDINGS)
