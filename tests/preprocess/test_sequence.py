from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.preprocess.sequence import choose_sequence, guess_sequence
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


@pytest.mark.parametrize(("sequence", "white"), [("FLAIR", 0.9), ("T1w", 0.4)])
def test_half_of_white_matter_diseased_does_not_overrule_a_right_name(sequence, white):
    template = load_template()
    contrast = {"FLAIR": (0.15, 0.6, 0.5), "T1w": (0.2, 0.6, 0.85)}[sequence]
    image = _image(contrast)
    depth = ndimage.distance_transform_edt(template.white_matter.data > 0.8)
    inner = depth > np.median(depth[depth > 0])
    ill = image.with_data(np.where(inner, white, image.data))
    chosen, confidence, _ = choose_sequence("auto", sequence, ill, template.brain_mask)
    assert chosen == sequence and confidence < 0.75


def test_no_contrast_is_no_confidence():
    _, confidence = guess_sequence(_image((0.5, 0.5, 0.5)), load_template().brain_mask)
    assert confidence < 0.2


def _choose(told, hint, contrast, **options):
    return choose_sequence(told, hint, _image(contrast), load_template().brain_mask, **options)


@pytest.mark.parametrize("expected", list(CONTRASTS))
@pytest.mark.parametrize("hint", list(CONTRASTS))
def test_a_sure_image_overrules_words_and_says_so(expected, hint):
    chosen, confidence, doubt = _choose("auto", hint, CONTRASTS[expected][0])
    assert chosen == expected and confidence > 0.75
    if hint == expected:
        assert doubt is None
    else:
        assert f"says {hint}, the image looks like {expected}" in doubt
        assert f"{expected} was used" in doubt and f"--sequence {hint}" in doubt


@pytest.mark.parametrize(
    ("hint", "contrast", "warned"),
    [
        ("T1w", (0.2, 0.67, 0.72), True),  # (white - grey) / (white - CSF) = 0.14: a weak T1w
        ("FLAIR", (0.1, 0.55, 0.64), True),  # 0.20: FLAIR of a brain full of lesions
        ("FLAIR", (0.2, 0.6, 0.66), False),  # 0.17: hardly on the other side
        ("T2w", (0.48, 0.5, 0.45), True),  # CSF like grey matter: proton density
    ],
)
def test_an_image_that_is_not_sure_leaves_the_words_standing(hint, contrast, warned):
    chosen, confidence, doubt = _choose("auto", hint, contrast)
    assert chosen == hint and confidence < 0.75
    assert (doubt is not None) == warned
    if warned:
        assert f"{hint} was used" in doubt


def test_the_option_wins_over_image_and_words_with_a_warning():
    chosen, _, doubt = _choose("T1w", "T2w", CONTRASTS["FLAIR"][0])
    assert chosen == "T1w"
    assert "the option says T1w, the image looks like FLAIR" in doubt and "T1w was used" in doubt


def test_an_image_that_may_not_be_an_adults_leaves_the_words_standing():
    chosen, _, doubt = _choose("auto", "T1w", CONTRASTS["FLAIR"][0], trust_image=False)
    assert chosen == "T1w" and "looks like FLAIR" in doubt


def test_nothing_said_takes_the_guess_and_tells_a_weak_one():
    assert _choose("auto", None, CONTRASTS["T2w"][0])[::2] == ("T2w", None)
    chosen, _, doubt = _choose("auto", None, (0.2, 0.6, 0.66))
    assert chosen in ("T1w", "FLAIR") and "little confidence" in doubt
