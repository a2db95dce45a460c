from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.preprocess.stripped import fill_holes, find_foreground, keep_largest
from anatomaly.volume import Volume


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
