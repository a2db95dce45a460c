from __future__ import annotations

import numpy as np
import pytest

from anatomaly.preprocess.sequence import guess_sequence
from anatomaly.preprocess.template import load_template

CONTRASTS = {
    "T1w": [(0.2, 0.6, 0.85), (0.38, 0.75, 0.86), (0.13, 0.62, 0.76)],
    "T2w": [(0.95, 0.45, 0.3), (0.65, 0.25, 0.2)],
    "FLAIR": [(0.2, 0.72, 0.66), (0.37, 0.64, 0.65), (0.28, 0.8, 0.7)],
}


def _image(contrast, lesion=0.0):
    template = load_template()
    csf, grey, white = contrast
    data = (
        csf * template.cerebrospinal_fluid
        + grey * template.grey_matter.data
        + white * template.white_matter.data
    )
    data += np.random.default_rng(0).normal(0, 0.04, data.shape)
    if lesion:
        data[40:75, 80:120, 80:120] = lesion
    return template.brain.with_data(np.clip(data, 0, 1) * template.brain_mask.data)


@pytest.mark.parametrize(
    ("expected", "contrast"), [(name, c) for name, many in CONTRASTS.items() for c in many]
)
def test_contrast_tells_the_sequence(expected, contrast):
    guess, confidence = guess_sequence(_image(contrast), load_template().brain_mask)
    assert guess == expected
    assert confidence > 0.5


@pytest.mark.parametrize("expected", list(CONTRASTS))
@pytest.mark.parametrize("lesion", [0.05, 1.0])
def test_a_large_lesion_does_not_change_the_guess(expected, lesion):
    image = _image(CONTRASTS[expected][0], lesion)
    assert guess_sequence(image, load_template().brain_mask)[0] == expected


def test_no_contrast_is_no_confidence():
    _, confidence = guess_sequence(_image((0.5, 0.5, 0.5)), load_template().brain_mask)
    assert confidence < 0.2
