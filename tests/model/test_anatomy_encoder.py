"""The anatomical code is a share of eight fine tissues, led by the voxel's own tissue."""

import torch

from anatomaly.model.anatomy_encoder import CODE_CHANNELS, TISSUE_LOGIT, AnatomyEncoder


def random_map(shape=(2, 16, 8, 24), seed=0):
    tissue = torch.randint(4, shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.one_hot(tissue, 4).permute(0, 4, 1, 2, 3).float()


def encoder():
    torch.manual_seed(0)
    return AnatomyEncoder((8, 8)).eval()


def test_shares_sum_to_one():
    with torch.no_grad():
        code = encoder()(random_map(), torch.rand(1, 6, 8, 4, 12))
    assert code.shape == (2, CODE_CHANNELS, 16, 8, 24)
    assert code.min() >= 0
    torch.testing.assert_close(code.sum(1), torch.ones(2, 16, 8, 24))


def test_untrained_the_code_follows_the_tissue():
    tissue = random_map(seed=1)
    with torch.no_grad():
        code = encoder()(tissue, torch.rand(1, 6, 8, 4, 12))
    assert (code.argmax(1) == tissue.argmax(1)).float().mean() > 0.95


def test_head_start_by_hand():
    net = encoder()
    torch.nn.init.zeros_(net.unet.head.weight)
    torch.nn.init.zeros_(net.unet.head.bias)
    with torch.no_grad():
        code = net(random_map(), torch.rand(1, 6, 8, 4, 12))
    own = torch.tensor(TISSUE_LOGIT).exp() / (torch.tensor(TISSUE_LOGIT).exp() + 7)
    torch.testing.assert_close(code.amax(1), own.expand(2, 16, 8, 24))
