"""MP2RAGE's uniform image: noise over the whole range where there is air, which harms nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.config import PreprocessConfig
from anatomaly.preprocess.background import find_foreground
from anatomaly.preprocess.brain_extraction import extract_brain, place_template_mask
from anatomaly.preprocess.quality import mask_dice
from anatomaly.volume import Volume


@pytest.fixture
def uniform_image(make_phantom) -> tuple[Volume, Volume]:
    """A T1w head with skull and scalp, 0 to 4095, in salt and pepper; and its brain."""
    volume, mask = make_phantom("T1w")
    distance = ndimage.distance_transform_edt(~mask.data, sampling=volume.spacing_mm)
    head = volume.data / volume.data.max() * 3200
    head[(distance > 0) & (distance <= 9)] = 150  # CSF and bone
    head[(distance > 9) & (distance <= 15)] = 3000  # scalp
    air = np.random.default_rng(0).uniform(0, 4095, volume.shape)
    return volume.with_data(np.where(distance > 15, air, head).astype(np.float32)), mask


def test_the_head_is_no_stripped_brain(uniform_image):
    foreground = find_foreground(uniform_image[0])
    assert not foreground.is_brain
    assert not foreground.is_doubtful


@pytest.mark.parametrize("shift", [0.0, pytest.param(2047.5, marks=pytest.mark.slow)])
def test_the_brain_is_found(uniform_image, shift: float):
    """Also where the image runs from -0.5 to 0.5 times its range, as some scanners write it."""
    volume, mask = uniform_image
    found, record = extract_brain(
        volume.with_data(volume.data - np.float32(shift)), PreprocessConfig()
    )
    assert record.method == "deepbet"
    assert mask_dice(found.data, mask.data) > 0.95


def test_the_template_is_laid_over_it(uniform_image):
    volume, mask = uniform_image
    assert mask_dice(place_template_mask(volume), mask.data) > 0.95
