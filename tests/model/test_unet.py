"""The folded U-Net: folding is lossless, grids are refused, the second input arrives."""

import numpy as np
import pytest
import torch

from anatomaly.model.unet import Refinement, UNet3d, fold, lay_channels_last, unfold


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_unfold_undoes_fold(channels):
    x = torch.rand(2, channels, 4, 10, 6)
    assert torch.equal(unfold(fold(x)), x)


@pytest.mark.parametrize("channels", [1, 3])
def test_fold_undoes_unfold(channels):
    x = torch.rand(2, 8 * channels, 3, 5, 7)
    assert torch.equal(fold(unfold(x)), x)


def test_each_folded_channel_is_every_second_voxel():
    x = torch.rand(1, 3, 4, 6, 8)
    folded = fold(x).reshape(1, 3, 8, 2, 3, 4)
    for number, (a, b, c) in enumerate(np.ndindex(2, 2, 2)):
        assert torch.equal(folded[:, :, number], x[:, :, a::2, b::2, c::2])


@pytest.fixture(name="net")
def fixture_net():
    torch.manual_seed(0)
    return UNet3d(2, 3, (8, 12, 16), context=4).eval()


def test_answers_at_full_resolution(net):
    with torch.no_grad():
        out = net(torch.rand(2, 2, 16, 24, 32), torch.rand(2, 4, 8, 12, 16))
    assert out.shape == (2, 3, 16, 24, 32)
    assert torch.isfinite(out).all()
    assert out.std() > 0


@pytest.mark.parametrize("grid", [(16, 16, 20), (12, 16, 16), (16, 15, 16)])
def test_refuses_a_grid_that_cannot_be_halved(net, grid):
    with pytest.raises(ValueError, match="multiple of 8"):
        net(torch.zeros(1, 2, *grid), torch.zeros(1, 4, *(n // 2 for n in grid)))


def test_context_counts_and_one_context_serves_a_batch(net):
    x, context = torch.rand(2, 2, 16, 16, 16), torch.rand(1, 4, 8, 8, 8)
    with torch.no_grad():
        shared = net(x, context)
        own = net(x, context.repeat(2, 1, 1, 1, 1))
        other = net(x, 1 - context)
    torch.testing.assert_close(shared, own)
    assert (shared - other).abs().max() > 1e-4


def test_layout_changes_strides_but_not_values():
    torch.manual_seed(1)
    net = UNet3d(1, 1, (8, 8)).eval()
    x = torch.rand(1, 1, 8, 8, 8)
    with torch.no_grad():
        before = net(x)
        lay_channels_last(net)
        after = net(x)
    weight = net.down[0][1][0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert not weight.is_contiguous()
    torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)


def test_refinement_starts_at_zero_and_serves_every_voxel_alike():
    """No correction before training; afterwards a shifted input gives a shifted output."""
    torch.manual_seed(0)
    refinement = Refinement(3, 2)
    x = torch.rand(1, 3, 13, 12, 11)
    assert torch.equal(refinement(x), torch.zeros(1, 2, 13, 12, 11))
    torch.nn.init.normal_(refinement[2].weight)
    shifted = refinement(x.roll(1, dims=2))
    assert torch.allclose(shifted[:, :, 4:-3], refinement(x).roll(1, dims=2)[:, :, 4:-3], atol=1e-5)
    assert refinement(x).abs().max() > 0.01
