"""Losses by values computed by hand."""

import math

import pytest
import torch

from anatomaly.training.losses import (
    absolute_loss,
    code_loss,
    consistency_loss,
    lesion_loss,
    margin_loss,
    modality_loss,
    reconstruction_loss,
    tissue_loss,
)


def tissues(*values):
    return torch.tensor(values).view(1, 2, 2, 2)


EVEN = tissues(0, 0, 0, 0, 1, 1, 2, 2)


def test_tissue_loss_of_an_undecided_net():
    # shares .25 everywhere: Dice (2 · .25 n + 1) / (2 + n + 1) for n = 4, 2, 2, 0
    dice = (3 / 7 + 2 / 5 + 2 / 5 + 1 / 3) / 4
    found = tissue_loss(torch.zeros(1, 4, 2, 2, 2), EVEN)
    assert found.item() == pytest.approx(math.log(4) + 1 - dice, abs=1e-5)


def test_tissue_loss_of_a_right_and_of_a_wrong_net():
    right = 50.0 * torch.nn.functional.one_hot(EVEN, 4).permute(0, 4, 1, 2, 3).float()
    assert tissue_loss(right, EVEN).item() == pytest.approx(0, abs=1e-5)
    assert tissue_loss(right.roll(1, dims=1), EVEN).item() > 50


def test_class_weights_are_those_of_a_weighted_mean():
    # class 1 is missed by every voxel (p = 1/(1+3e) … ), the others are right alike
    logits = torch.nn.functional.one_hot(EVEN.where(EVEN != 1, 0), 4).permute(0, 4, 1, 2, 3).float()
    total = math.log(math.e + 3)
    right, wrong = total - 1, total
    weight = torch.tensor([0.6, 1.6, 1.0, 1.0])
    weighted = (4 * 0.6 * right + 2 * 1.6 * wrong + 2 * right) / (4 * 0.6 + 2 * 1.6 + 2)
    plain = (6 * right + 2 * wrong) / 8
    found = tissue_loss(logits, EVEN, weight) - tissue_loss(logits, EVEN)
    assert found.item() == pytest.approx(weighted - plain, abs=1e-5)


def test_a_voxel_may_count_more():
    """One wrong voxel of four weighs three times: half of the mean surprise is its own."""
    tissue = torch.zeros(1, 1, 2, 2, dtype=torch.int64)
    logits = torch.zeros(1, 4, 1, 2, 2)
    logits[:, 1, 0, 0, 0] = 5.0
    weight = torch.ones(1, 1, 2, 2)
    weight[0, 0, 0, 0] = 3.0
    even, wrong = math.log(4), math.log(math.exp(5) + 3)
    found = tissue_loss(logits, tissue, None, weight) - tissue_loss(logits, tissue)
    expected = (3 * even + 3 * wrong) / 6 - (3 * even + wrong) / 4
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_consistency_by_hand():
    a = torch.tensor([math.log(3), 0.0]).view(1, 2, 1, 1, 1)  # shares .75 and .25
    assert consistency_loss(a, a.flip(1)).item() == pytest.approx(0.5, abs=1e-6)
    assert consistency_loss(a, a + 7).item() == pytest.approx(0, abs=1e-6)


def half_mask():
    mask = torch.zeros(1, 1, 12, 12, 12)
    mask[:, :, :6] = 1
    return mask


def test_absolute_loss_by_hand():
    mask = half_mask()
    rebuilt, target = torch.full_like(mask, 0.5), torch.full_like(mask, 0.2)
    target[mask == 0] = 9
    expected = 0.3 * 864 / 865
    assert absolute_loss(rebuilt, target, mask).item() == pytest.approx(expected, abs=1e-6)


def test_reconstruction_loss_of_two_constants():
    mask = torch.ones(1, 1, 12, 12, 12)
    found = reconstruction_loss(0.6 * mask, 0.2 * mask, mask)
    similarity = 0.2401 / 0.4001
    expected = (0.4 + 0.5 * (1 - similarity)) * 1728 / 1729
    assert found.item() == pytest.approx(expected, abs=1e-3)


def test_reconstruction_loss_sees_nothing_outside_the_mask():
    mask = half_mask()
    image = torch.rand(mask.shape)
    assert reconstruction_loss(image, image, mask).item() == pytest.approx(0, abs=1e-6)
    changed = torch.where(mask > 0, image, 1 - image)
    assert reconstruction_loss(changed, image, mask).item() == pytest.approx(0, abs=1e-6)
    assert reconstruction_loss(1 - image, image, mask).item() > 0.3


def test_an_empty_mask_is_no_division_by_zero():
    mask = torch.zeros(1, 1, 12, 12, 12)
    assert reconstruction_loss(mask, mask + 1, mask).item() == 0
    assert code_loss(torch.rand(1, 8, 12, 12, 12), torch.rand(1, 8, 12, 12, 12), mask).item() == 0


def test_code_loss_by_hand():
    mask = half_mask()
    code = torch.rand(1, 8, 12, 12, 12).softmax(1)
    undecided = code_loss(torch.zeros(1, 8, 12, 12, 12), code, mask)
    assert undecided.item() == pytest.approx(math.log(8) * 864 / 865, abs=1e-5)
    entropy = -(code * code.log()).sum(1, keepdim=True)[mask > 0].sum() / 865
    assert code_loss(code.log(), code, mask).item() == pytest.approx(entropy.item(), abs=1e-5)


def test_modality_loss_by_hand():
    assert modality_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])).item() == 2.5


def test_lesion_loss_by_hand():
    """Two logits over two voxels and one outside the mask, which counts for nothing."""
    logits = torch.tensor([math.log(3), 0.0, 9.0]).view(1, 1, 3, 1, 1)  # chances .75 and .5
    share = torch.tensor([0.4, 1.0, 0.3]).view(1, 1, 3, 1, 1)
    mask = torch.tensor([1.0, 1.0, 0.0]).view(1, 1, 3, 1, 1)
    surprise = -(0.4 * math.log(0.75) + 0.6 * math.log(0.25)) - math.log(0.5)
    overlap = (2 * (0.75 * 0.4 + 0.5) + 100) / (1.25 + 1.4 + 100)
    found = lesion_loss(logits, share, mask)
    assert found.keys() == {"entropy", "dice"}
    assert found["entropy"].item() == pytest.approx(10 * surprise / 3, rel=1e-5)
    assert found["dice"].item() == pytest.approx(0.5 * (1 - overlap), rel=1e-4)


def test_lesion_loss_joins_the_batch():
    """A member without a lesion does not count as a miss of its own: sums run over all."""
    shape = (2, 1, 10, 10, 10)
    share = torch.zeros(shape)
    share[0] = 1.0
    logits = 40 * (share - 0.5)
    right = lesion_loss(logits, share, torch.ones(shape))
    assert right["entropy"].item() == pytest.approx(0, abs=1e-5)
    assert right["dice"].item() == pytest.approx(0, abs=1e-5)
    wrong = lesion_loss(-logits, share, torch.ones(shape))
    assert wrong["entropy"].item() == pytest.approx(10 * 20 * 2000 / 2001, rel=1e-5)
    assert wrong["dice"].item() == pytest.approx(0.5 * (1 - 100 / 2100), rel=1e-4)


def test_lesion_loss_of_an_empty_mask():
    one = torch.ones(1, 1, 2, 2, 2)
    found = lesion_loss(one, one, 0 * one)
    assert found["entropy"].item() == 0 and found["dice"].item() == 0


def test_margin_loss_by_hand():
    # cosines: (0, 1) .6, (0, 2) 0, (1, 2) .8; only the first two are of one sequence
    codes = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]])
    same, far, near = 1 - 0.6, max(0.0, 0.5 - 1.0), 0.5 - (1 - 0.8)
    found = margin_loss(codes, torch.tensor([0, 0, 1]))
    assert found.item() == pytest.approx((same + far + near) / 3, abs=1e-6)
    wide = margin_loss(codes, torch.tensor([0, 0, 1]), margin=1.5)
    assert wide.item() == pytest.approx((same + 0.5 + 1.3) / 3, abs=1e-6)


def test_margin_loss_leaves_out_what_has_no_sequence():
    codes = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]], requires_grad=True)
    assert margin_loss(codes, torch.tensor([0, 0, -1])).item() == pytest.approx(0.4, abs=1e-6)
    none = margin_loss(codes, torch.tensor([0, -1, -1]))
    none.backward()
    assert none.item() == 0 and codes.grad.abs().sum() == 0


def test_margin_loss_draws_together_and_pushes_apart():
    codes = torch.tensor([[1.0, 0.1], [1.0, -0.1]], requires_grad=True)
    for sequences, sign in (([0, 0], 1), ([0, 1], -1)):
        (gradient,) = torch.autograd.grad(margin_loss(codes, torch.tensor(sequences)), codes)
        assert gradient[0, 1] * sign > 0  # a step against it closes, or opens, the angle
