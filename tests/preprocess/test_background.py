from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.preprocess.background import (
    background_value,
    fill_holes,
    find_foreground,
    find_usual_range,
    keep_largest,
)
from anatomaly.volume import Volume

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
    monkeypatch.setattr("anatomaly.preprocess.background.MOST_BLOCKS", 1500)
    part = find_usual_range(data)
    assert part != whole
    assert abs(part.high - whole.high) < 0.1 * whole.width


@pytest.mark.parametrize("background", [0.0, -3.62, 1000.0])
def test_brain_on_any_constant_background_is_found_exactly(make_phantom, background):
    volume, mask = make_phantom("FLAIR")
    data = np.where(mask.data, volume.data / 100 - 2, background).astype(np.float32)
    found = find_foreground(volume.with_data(data))
    assert found.is_brain
    assert found.background == pytest.approx(background)
    # noise may bring a few voxels of the brain to the background's value; holes are filled
    assert (found.mask != mask.data).sum() < 0.001 * mask.data.sum()


def test_head_with_noise_around_is_not_a_brain(make_phantom):
    volume, mask = make_phantom("T1w")
    air = np.abs(np.random.default_rng(0).normal(0, 6, volume.shape))
    scalp = ndimage.binary_dilation(mask.data, iterations=6)
    head = np.where(mask.data, volume.data, np.where(scalp, 250, air)).astype(np.float32)
    assert not find_foreground(volume.with_data(head)).is_brain


def test_head_cut_out_on_zeros_is_not_a_brain(make_phantom):
    volume, mask = make_phantom("T1w")
    scalp = ndimage.binary_dilation(mask.data, iterations=8)
    head = np.where(mask.data, volume.data, np.where(scalp, 250, 0)).astype(np.float32)
    found = find_foreground(volume.with_data(head))
    assert found.volume_ml > 2600
    assert not found.is_brain and not found.is_doubtful


def test_generous_mask_is_doubtful(make_phantom):
    volume, mask = make_phantom("T1w")
    rim = ndimage.binary_dilation(mask.data, iterations=2)
    found = find_foreground(volume.with_data(np.where(rim, volume.data + 5, 0)))
    assert 2000 < found.volume_ml < 2600
    assert found.is_doubtful and not found.is_brain


def test_constant_image_has_no_brain():
    found = find_foreground(Volume(np.full((20, 30, 40), 7.0), np.eye(4)))
    assert not found.is_brain and not found.mask.any()


def test_largest_component_and_holes():
    mask = np.zeros((9, 11, 10), dtype=bool)
    mask[1:7, 1:9, 1:8] = True
    mask[3, 4, 4] = False
    mask[8, 10, 9] = True
    out = fill_holes(keep_largest(mask))
    assert out[3, 4, 4] and not out[8, 10, 9]
    assert out.sum() == 6 * 8 * 7
