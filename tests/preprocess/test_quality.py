from __future__ import annotations

import numpy as np
import pytest

from anatomaly.preprocess.quality import judge_fit, tissue_correlation
from anatomaly.volume import Volume


@pytest.mark.parametrize("contrast", ["T1w", "T2w", "FLAIR"])
def test_brain_in_place_beats_every_wrong_place(make_phantom, contrast):
    volume, mask = make_phantom(contrast, noise=0.1)
    right = judge_fit(volume, mask, np.eye(4))
    assert right.dice > 0.97
    assert right.margin > 1.5
    shifted = np.eye(4)
    shifted[:3, 3] = (0, 12, 12)
    wrong = judge_fit(volume, mask, shifted)
    assert wrong.correlation < 0.8 * right.correlation
    assert wrong.dice < right.dice


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_brain_turned_the_wrong_way_round_has_a_margin_below_1(make_phantom, kept):
    volume, mask = make_phantom("T1w")
    turn = np.diag([1.0 if axis == kept else -1.0 for axis in range(3)] + [1.0])
    centre = volume.affine[:3, :3] @ np.argwhere(mask.data).mean(axis=0) + volume.affine[:3, 3]
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    assert judge_fit(volume, mask, turn).margin < 1.0


def test_object_without_anatomy_has_no_margin(make_phantom):
    volume, mask = make_phantom("T1w")
    noise = np.random.default_rng(0).normal(0, 1, volume.shape).astype(np.float32)
    assert judge_fit(volume.with_data(noise), mask, np.eye(4)).margin < 1.2


def test_multiple_correlation_matches_the_formula():
    rng = np.random.default_rng(0)
    tissues = rng.normal(size=(20, 21, 22, 2))
    signal = 2 * tissues[..., 0] - 3 * tissues[..., 1]
    image = signal + rng.normal(0, signal.std(), signal.shape)
    inside = np.ones(signal.shape, dtype=bool)
    # equal variance of signal and noise: R² = .5
    assert tissue_correlation(image, inside, tissues) == pytest.approx(np.sqrt(0.5), abs=0.03)
    assert tissue_correlation(signal, inside, tissues) == pytest.approx(1, abs=0.02)
    assert tissue_correlation(np.ones(signal.shape), inside, tissues) == 0


def test_grid_of_the_volume_does_not_matter(make_phantom):
    volume, mask = make_phantom("T1w")
    flipped = Volume(volume.data[::-1], volume.affine @ np.diag([-1.0, 1, 1, 1]))
    flipped.affine[:3, 3] = (
        volume.affine[:3, :3] @ (volume.shape[0] - 1, 0, 0) + volume.affine[:3, 3]
    )
    there = judge_fit(volume, mask, np.eye(4))
    here = judge_fit(flipped, Volume(mask.data[::-1], flipped.affine), np.eye(4))
    assert here.correlation == pytest.approx(there.correlation, abs=1e-3)
    assert here.dice == pytest.approx(there.dice, abs=1e-3)
