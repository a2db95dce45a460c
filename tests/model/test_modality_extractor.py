"""The modality code has no spatial axes: what counts is how bright each tissue is, not where."""

import torch

from anatomaly.model.modality_extractor import BINS, ModalityExtractor

SHAPE = (16, 20, 12)


def extractor():
    torch.manual_seed(0)
    return ModalityExtractor().eval()


def scan(seed=0):
    """Image and tissue map of blocks of 2×2×2 voxels with noise."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randint(4, [n // 2 for n in SHAPE], generator=rng)
    tissue = coarse.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    image = torch.tensor([0.0, 0.2, 0.5, 0.8])[tissue] + 0.05 * torch.randn(SHAPE, generator=rng)
    one_hot = torch.nn.functional.one_hot(tissue, 4).permute(3, 0, 1, 2)[None].float()
    return image.clamp(0, 1)[None, None], one_hot


def blind_to_order_in_a_block(net):
    """Give the eight voxels of a block the same weight, as far as the first layer goes."""
    weight = net.features[0].weight.data
    weight.copy_(weight.mean(1, keepdim=True).expand_as(weight))
    return net


def shuffle_blocks(volume, order):
    """Put whole 2×2×2 blocks (B, C, I, J, K) in another order."""
    b, c, i, j, k = volume.shape
    blocks = volume.reshape(b, c, i // 2, 2, j // 2, 2, k // 2, 2).permute(0, 1, 2, 4, 6, 3, 5, 7)
    blocks = blocks.reshape(b, c, -1, 2, 2, 2)[:, :, order]
    blocks = blocks.reshape(b, c, i // 2, j // 2, k // 2, 2, 2, 2).permute(0, 1, 2, 5, 3, 6, 4, 7)
    return blocks.reshape(volume.shape)


def test_code_is_a_vector():
    image, tissue = scan()
    assert extractor()(image.repeat(3, 1, 1, 1, 1), tissue.repeat(3, 1, 1, 1, 1)).shape == (3, 16)


def test_where_a_block_lies_does_not_matter():
    net = extractor()
    image, tissue = scan()
    order = torch.randperm(8 * 10 * 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        code = net(image, tissue)
        shuffled = net(shuffle_blocks(image, order), shuffle_blocks(tissue, order))
    torch.testing.assert_close(code, shuffled, atol=1e-5, rtol=1e-4)


def test_flip_changes_nothing_but_the_order_within_a_block():
    net = blind_to_order_in_a_block(extractor())
    image, tissue = scan()
    with torch.no_grad():
        code = net(image, tissue)
        for axis in (2, 3, 4):
            flipped = net(image.flip(axis), tissue.flip(axis))
            torch.testing.assert_close(code, flipped, atol=1e-5, rtol=1e-4)


def test_flip_moves_the_code_of_an_untrained_net_little():
    net = extractor()
    image, tissue = scan()
    with torch.no_grad():
        code, flipped = net(image, tissue), net(image.flip(2), tissue.flip(2))
        other = net(1 - image, tissue)
    assert (code - flipped).norm() < 0.05 * (code - other).norm()


def test_how_bright_a_tissue_is_matters():
    net = extractor()
    image, tissue = scan()
    with torch.no_grad():
        code, other = net(image, tissue), net((image + 0.3 * tissue[:, 1:2]).clamp(0, 1), tissue)
    assert (code - other).abs().max() > 1e-3


def test_what_lies_outside_the_three_tissues_does_not_matter():
    net = extractor()
    image, tissue = scan()
    with torch.no_grad():
        code, other = net(image, tissue), net(image + 0.5 * tissue[:, :1], tissue)
    torch.testing.assert_close(code, other, atol=1e-6, rtol=1e-5)


def test_histogram_by_hand():
    # a voxel at the centre of bin 5 adds exp(0) there and exp(−.5 · (16/15)²) next door
    net = extractor()
    seen = []
    net.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.full((1, 1, 8, 8, 8), 5 / (BINS - 1))
    tissue = torch.zeros(1, 4, 8, 8, 8)
    tissue[:, 1] = 1
    net(image, tissue)
    histogram = seen[0].view(3, -1)[0, :BINS] * 65 / 64  # 64 blocks over 64 + 1
    width = torch.tensor(BINS / (BINS - 1))
    expected = torch.exp(-0.5 * ((torch.arange(BINS) - 5) * width) ** 2)
    torch.testing.assert_close(histogram, expected, atol=1e-5, rtol=1e-4)


def test_a_scan_without_a_tissue_has_a_code():
    image, _ = scan()
    tissue = torch.zeros(1, 4, *SHAPE)
    tissue[:, 0] = 1
    assert torch.isfinite(extractor()(image, tissue)).all()
