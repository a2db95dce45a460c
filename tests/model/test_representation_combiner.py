"""Anatomy and modality become an image: in range, local, and different for another modality."""

import torch

from anatomaly.model.representation_combiner import RepresentationCombiner


def combiner():
    torch.manual_seed(0)
    return RepresentationCombiner().eval()


def code(shape=(2, 8, 10, 12, 9)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)).softmax(1)


def test_image_lies_between_zero_and_one_for_extreme_codes():
    with torch.no_grad():
        image = combiner()(code(), 100 * torch.randn(2, 16))
    assert image.shape == (2, 1, 10, 12, 9)
    assert image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1


def test_each_member_of_a_batch_has_its_own_modality():
    net, anatomy = combiner(), code()
    modality = torch.randn(2, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        together = net(anatomy, modality)
        alone = net(anatomy[1:], modality[1:])
        swapped = net(anatomy, modality.flip(0))
    torch.testing.assert_close(together[1:], alone)
    assert (together - swapped).abs().max() > 1e-3


def test_a_voxel_reaches_its_26_neighbours_only():
    net, anatomy = combiner(), code((1, 8, 9, 9, 9))
    changed = anatomy.clone()
    changed[0, :, 4, 4, 4] = changed[0, :, 4, 4, 4].flip(0)
    with torch.no_grad():
        moved = (net(anatomy, torch.zeros(1, 16)) - net(changed, torch.zeros(1, 16))).abs()[0, 0]
    reach = torch.zeros(9, 9, 9, dtype=torch.bool)
    reach[3:6, 3:6, 3:6] = True
    assert (moved[reach] > 0).all()
    assert (moved[~reach] == 0).all()
