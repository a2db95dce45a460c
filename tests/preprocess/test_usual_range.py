from __future__ import annotations

import numpy as np
import pytest

from anatomaly.preprocess.usual_range import background_value, find_usual_range

SHAPE = (60, 63, 66)


def _head() -> np.ndarray:
    data = np.zeros(SHAPE, dtype=np.float32)
    data[12:48, 12:51, 12:54] = np.random.default_rng(0).uniform(50, 150, (36, 39, 42))
    return data


@pytest.mark.parametrize("spoilt", ["nothing", "salt", "pepper", "plane", "line"])
def test_range_is_that_of_the_sound_image(spoilt):
    data, rng = _head(), np.random.default_rng(1)
    sound = find_usual_range(data)
    assert 50 < sound.low < 100 < sound.high < 150
    some = rng.random(SHAPE) < 0.05
    if spoilt == "salt":
        data[some] = 1e6
    elif spoilt == "pepper":
        data[some] = -1e6
    elif spoilt == "plane":
        data[30] *= 1000
    elif spoilt == "line":
        data[30, 30] = 1e6
    found = find_usual_range(data)
    # of a block of 27 a plane spoils 9: the median of what is left moves within its noise
    most = 0.5 if spoilt == "plane" else 0.1
    assert abs(found.low - sound.low) < most * sound.width
    assert abs(found.high - sound.high) < most * sound.width


def test_background_is_no_part_of_the_range():
    data = _head() - 90
    data[_head() == 0] = -500
    assert background_value(data) == -500
    assert find_usual_range(data).low > -40


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 7, 1), (5, 5, 5)])
def test_constant_image_has_a_range_without_width(shape):
    assert find_usual_range(np.full(shape, 3.0, dtype=np.float32)).width == 0


def test_a_large_image_is_read_in_parts(monkeypatch):
    data = _head()
    whole = find_usual_range(data)
    monkeypatch.setattr("anatomaly.preprocess.usual_range.MOST_BLOCKS", 1500)
    part = find_usual_range(data)
    assert part != whole
    assert abs(part.high - whole.high) < 0.1 * whole.width
