"""Dice by tissue, and tissue read from a code whose mixing is known."""

import numpy as np
import pytest
import torch

from anatomaly.evaluation.experiments.tissue_agreement import (
    decode_tissue,
    fit_reading,
    learn_reading,
    tissue_dice,
)


def test_identical_maps_agree_wholly_and_background_has_no_say():
    tissue = np.array([0, 0, 1, 2, 2, 3], np.uint8)
    same = tissue_dice(tissue, tissue)
    assert (same.csf, same.grey, same.white, same.mean) == (1, 1, 1, 1)


def test_dice_by_hand():
    found, truth = np.array([1, 1, 2, 3, 0], np.uint8), np.array([1, 2, 2, 2, 3], np.uint8)
    got = tissue_dice(found, truth)
    assert got.csf == pytest.approx(2 / 3)
    assert got.grey == pytest.approx(2 / 4)
    assert got.white == 0
    assert got.mean == pytest.approx((2 / 3 + 1 / 2) / 3)


@pytest.fixture(name="mixed")
def fixture_mixed(balls):
    """A code of five channels that mixes the tissues; outside the brain it says 'white matter'."""
    brain, rng = balls.draw(), np.random.default_rng(0)
    mixing = rng.dirichlet(np.ones(5), size=4)
    code = np.moveaxis(mixing[brain.tissue_map], -1, 0)
    code[:, ~brain.brain_mask] = mixing[3][:, None]
    tissue = torch.nn.functional.one_hot(torch.from_numpy(brain.tissue_map).long(), 4)
    return brain, torch.from_numpy(code)[None].float(), tissue.movedim(-1, 0)[None].float()


def test_reading_undoes_any_mixing(mixed):
    brain, code, one_hot = mixed
    reading = fit_reading(code, one_hot, brain.brain_mask)
    assert reading.shape == (5, 3)
    decoded = decode_tissue(code, reading, brain.brain_mask)
    np.testing.assert_array_equal(decoded, brain.tissue_map)


def test_reading_shows_where_a_code_is_wrong(mixed):
    brain, code, one_hot = mixed
    reading = fit_reading(code, one_hot, brain.brain_mask)
    csf, grey = (np.argwhere(brain.tissue_map == n)[0] for n in (1, 2))
    code[0, :, *csf] = code[0, :, *grey]
    decoded = decode_tissue(code, reading, brain.brain_mask)
    assert decoded[tuple(csf)] == 2
    assert (decoded != brain.tissue_map).sum() == 1


def test_reading_is_learnt_from_the_encoder(fake_model):
    reading = learn_reading(fake_model())  # its code is the tissue map itself
    torch.testing.assert_close(reading[1:], torch.eye(3), atol=1e-2, rtol=0)
