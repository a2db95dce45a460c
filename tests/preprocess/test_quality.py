from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.geometry import apply_affine
from anatomaly.preprocess.checks import doubts_about
from anatomaly.preprocess.coverage import find_coverage, full_coverage
from anatomaly.preprocess.quality import judge_fit, local_agreement
from anatomaly.preprocess.template import load_template
from anatomaly.volume import Volume


@pytest.mark.parametrize("contrast", ["T1w", "T2w", "FLAIR"])
def test_brain_in_place_beats_every_wrong_place(make_phantom, contrast):
    volume, mask = make_phantom(contrast, noise=0.1)
    right = judge_fit(volume, mask, np.eye(4), full_coverage())
    assert right.dice > 0.97
    assert right.margin > 1.5
    shifted = np.eye(4)
    shifted[:3, 3] = (0, 12, 12)
    wrong = judge_fit(volume, mask, shifted, full_coverage())
    assert wrong.correlation < 0.8 * right.correlation
    assert wrong.dice < right.dice
    assert right.outline_margin > 0.05 and right.shift_mm == 0
    assert wrong.shift_mm == pytest.approx(17, abs=4)  # the search goes in steps of 4 mm


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_brain_turned_the_wrong_way_round_has_a_margin_below_1(make_phantom, kept):
    volume, mask = make_phantom("T1w")
    turn = np.diag([1.0 if axis == kept else -1.0 for axis in range(3)] + [1.0])
    centre = volume.affine[:3, :3] @ np.argwhere(mask.data).mean(axis=0) + volume.affine[:3, 3]
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    found = judge_fit(volume, mask, turn, full_coverage())
    assert found.margin < 1.0 and found.outline_margin < 0.0


@pytest.mark.parametrize("sigma", [0, 1, 3])
def test_noise_in_the_outline_of_a_brain_is_no_brain(make_phantom, sigma):
    volume, mask = make_phantom("T1w")
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, volume.shape), sigma)
    data = np.where(mask.data, 500 + 100 * noise / noise.std(), 0).astype(np.float32)
    found = judge_fit(volume.with_data(data), mask, np.eye(4), full_coverage())
    assert doubts_about(found) is not None
    assert found.outline_margin > 0.05  # the outline alone would not tell


def test_round_object_has_no_outline_margin(make_phantom):
    volume, mask = make_phantom("T1w")
    places = apply_affine(mask.affine, np.indices(mask.shape).reshape(3, -1).T)
    template = load_template().brain_mask
    whole = apply_affine(template.affine, np.argwhere(template.data))
    middle, reach = (whole.max(0) + whole.min(0)) / 2, np.ptp(whole, axis=0) / 2
    ball = (((places - middle) / reach) ** 2).sum(axis=1).reshape(mask.shape) < 1
    found = judge_fit(volume, mask.with_data(ball), np.eye(4), full_coverage())
    assert found.outline_margin < 0.03


def test_flat_contrast_and_a_large_lesion_do_not_spoil_the_judgement(make_phantom):
    volume, mask = make_phantom("FLAIR", noise=0.05)
    places = apply_affine(mask.affine, np.indices(mask.shape).reshape(3, -1).T)
    lesion = (np.linalg.norm(places - (-30, -10, 25), axis=1) < 36).reshape(mask.shape)
    data = np.where(lesion & mask.data, 2.5 * volume.data.max(), volume.data)
    flat = np.where(data > 0, 0.15 * data + 0.85 * np.median(data[mask.data]), 0)
    flat = np.where(lesion & mask.data, data, flat).astype(np.float32)
    assert doubts_about(judge_fit(volume.with_data(flat), mask, np.eye(4), full_coverage())) is None


def test_what_the_scan_does_not_cover_is_not_compared(make_phantom):
    volume, mask = make_phantom("T1w")
    half = mask.data & (np.arange(mask.shape[1]) > 40)[:, None]
    part = volume.with_data(np.where(half, volume.data, 0))
    coverage = find_coverage(part, mask.with_data(half))
    with_it = judge_fit(part, mask.with_data(half), np.eye(4), coverage)
    without = judge_fit(part, mask.with_data(half), np.eye(4), full_coverage())
    assert with_it.dice > 0.95 > without.dice
    assert with_it.missing > 0.2 and without.missing == 0
    assert doubts_about(with_it) is None


def test_multiple_correlation_matches_the_formula():
    rng = np.random.default_rng(0)
    tissues = rng.normal(size=(20, 21, 22, 2))
    signal = 2 * tissues[..., 0] - 3 * tissues[..., 1]
    image = signal + rng.normal(0, signal.std(), signal.shape)
    inside = np.ones(signal.shape, dtype=bool)
    # equal variance of signal and noise: R² = .5
    found = local_agreement(image, inside, tissues, sigma=8)
    assert found == pytest.approx(np.sqrt(0.5), abs=0.05)
    assert local_agreement(signal, inside, tissues, sigma=8) == pytest.approx(0.98, abs=0.03)
    assert local_agreement(np.ones(signal.shape), inside, tissues, sigma=8) == 0


def test_grid_of_the_volume_does_not_matter(make_phantom):
    volume, mask = make_phantom("T1w")
    flipped = Volume(volume.data[::-1], volume.affine @ np.diag([-1.0, 1, 1, 1]))
    flipped.affine[:3, 3] = (
        volume.affine[:3, :3] @ (volume.shape[0] - 1, 0, 0) + volume.affine[:3, 3]
    )
    there = judge_fit(volume, mask, np.eye(4), full_coverage())
    here = judge_fit(flipped, Volume(mask.data[::-1], flipped.affine), np.eye(4), full_coverage())
    assert here.correlation == pytest.approx(there.correlation, abs=1e-3)
    assert here.dice == pytest.approx(there.dice, abs=1e-3)
