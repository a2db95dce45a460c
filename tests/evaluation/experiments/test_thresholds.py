"""Experiment 5: every reading is right on the image it is made for."""

import numpy as np
import pytest

from anatomaly.evaluation.experiments.thresholds import (
    CUTS_READING,
    FITTED,
    LEVELS_READING,
    draw,
    fit_centres,
    read_all,
    run,
)


def painted(brain, csf, grey, white):
    return np.array([0.0, csf, grey, white], np.float32)[brain.tissue_map]


def test_centres_are_fitted_to_three_values(brain):
    image = painted(brain, 0.2, 0.6, 0.95)
    assert fit_centres(image, brain.brain_mask) == pytest.approx((0.2, 0.6, 0.95), abs=1e-5)
    noisy = image + np.random.default_rng(0).normal(0, 0.03, image.shape)
    assert fit_centres(noisy, brain.brain_mask) == pytest.approx((0.2, 0.6, 0.95), abs=0.02)


def test_a_tissue_without_voxels_keeps_its_centre(brain):
    image = painted(brain, 0.5, 0.5, 0.72)
    assert fit_centres(image, brain.brain_mask) == pytest.approx((0.29, 0.5, 0.72), abs=1e-5)


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ((0.29, 0.48, 0.72), {LEVELS_READING, CUTS_READING, FITTED}),
        ((0.35, 0.60, 0.90), {CUTS_READING, FITTED}),  # grey .60 lies on the middle of (a)
        ((0.20, 0.40, 0.70), {LEVELS_READING, FITTED}),  # each below its cut
        ((0.20, 0.62, 0.95), {FITTED}),
    ],
)
def test_which_reading_is_right(brain, values, right):
    found = read_all(painted(brain, values[0], values[1] + 1e-4, values[2] + 1e-4), brain)
    assert {name for name, (dice, _) in found.items() if dice.mean == 1.0} == right


def test_numbers_used_are_told(brain):
    found = read_all(painted(brain, 0.2, 0.6, 0.95), brain)
    assert found[LEVELS_READING][1] == found[CUTS_READING][1] == "0.29 0.48 0.72"
    assert found[FITTED][1] == "0.20 0.60 0.95"


def test_every_sequence_and_the_t1w_scan_itself(fake_model, tmp_path):
    result = run(fake_model(), seed=0, count=1)
    images = [row.image for row in result.rows if row.reading == FITTED]
    assert images == ["T1w", "T1w scan itself", "T2w", "FLAIR"]
    means = {(row.image, row.reading): row.mean for row in result.rows}
    assert means["T2w", LEVELS_READING] == means["T2w", FITTED] == 1
    assert means["T1w scan itself", LEVELS_READING] < 1
    draw(result, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
