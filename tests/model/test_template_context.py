"""Where a patch lies: a crop's context is the whole's context at the same place."""

import torch

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.template_context import TemplateContext


def filled():
    context = TemplateContext()
    generator = torch.Generator().manual_seed(0)
    context.tissue_share.copy_(torch.rand(context.tissue_share.shape, generator=generator))
    return context


def test_a_patch_has_the_context_of_the_whole_at_its_place():
    context = filled()
    whole = context()
    start = torch.tensor([[0, 0, 0], [34, 90, 62], [112, 128, 104]])
    patches = context(start, (48, 64, 56))
    assert patches.shape == (3, 6, 24, 32, 28)
    for patch, (i, j, k) in zip(patches, (start // 2).tolist(), strict=True):
        assert torch.equal(patch, whole[0, :, i : i + 24, j : j + 32, k : k + 28])


def test_coordinates_run_from_minus_one_to_one_along_their_own_axis():
    whole = filled()()[0]
    assert whole.shape == (6, *(n // 2 for n in TEMPLATE_SHAPE))
    for axis in range(3):
        profile = whole[axis].movedim(axis, 0)
        assert (profile == profile[:, :1, :1]).all()
        assert profile[0, 0, 0] == -1 and profile[-1, 0, 0] == 1


def test_shares_are_those_of_the_place():
    context = TemplateContext()
    context.tissue_share[0, 1, 10, 20, 30] = 1.0  # template voxels 40 to 43, 80 to 83, 120 to 123
    share = context()[0, 4]
    peak = torch.nonzero(share == share.max()).float().mean(0) * 2 + 0.5
    assert torch.allclose(peak, torch.tensor([41.5, 81.5, 121.5]), atol=0.1)
    assert context()[0, 3].max() == 0


def test_shares_travel_with_the_weights():
    assert list(TemplateContext().state_dict()) == ["tissue_share"]
