"""The anatomical image between the class centres, and the map that follows from it."""

import pytest
import torch

from anatomaly.model.anatomy_extractor import AnatomyExtractor, tissue_means
from anatomaly.model.one_hot import LEVELS, one_hot_levels


def logits_of(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 4, 1, 1, 1)


@pytest.mark.parametrize("tissue", range(4))
def test_a_sure_voxel_gets_the_centre_of_its_class(tissue):
    sure = torch.full((1, 4, 1, 1, 1), -5.0)
    sure[0, tissue] = 5.0
    image = AnatomyExtractor.anatomical_image(sure)
    assert image.item() == pytest.approx(LEVELS[tissue], abs=1e-5)


def test_expectation_by_hand():
    # softmax of four times (0, 0, ln 2, 0) = (1, 1, 16, 1) / 19
    image = AnatomyExtractor.anatomical_image(logits_of(0, 0, 0.6931472, 0))
    assert image.item() == pytest.approx((0.29 + 16 * 0.48 + 0.72) / 19, abs=1e-5)


def test_a_clear_choice_between_csf_and_white_matter_is_not_called_grey():
    for favourite, logits in ((1, logits_of(-4, 0.6, -4, 0)), (3, logits_of(-4, 0, -4, 0.6))):
        image = AnatomyExtractor.anatomical_image(logits)
        assert one_hot_levels(image).argmax(1).item() == favourite


def test_shapes_range_and_one_class_a_voxel():
    torch.manual_seed(0)
    extractor = AnatomyExtractor((8, 8)).eval()
    with torch.no_grad():
        found = extractor(
            torch.rand(2, 1, 16, 12, 20), torch.rand(1, 6, 8, 6, 10), torch.rand(2, 3)
        )
    assert found.anatomical_image.shape == (2, 1, 16, 12, 20)
    assert found.logits.shape == found.tissue_map.shape == (2, 4, 16, 12, 20)
    assert found.anatomical_image.min() >= 0 and found.anatomical_image.max() <= 0.72
    assert torch.equal(found.tissue_map.sum(1), torch.ones(2, 16, 12, 20))


def test_gradient_reaches_the_network_through_the_hard_map():
    torch.manual_seed(0)
    extractor = AnatomyExtractor((8, 8))
    found = extractor(torch.rand(1, 1, 8, 8, 8), torch.rand(1, 6, 4, 4, 4), torch.rand(1, 3))
    found.tissue_map[:, 2].sum().backward()
    assert extractor.unet.stem[0].weight.grad.abs().max() > 0


def test_only_the_distance_to_the_means_is_told():
    # a contrast shifted together with its means reads the same in the three channels added
    torch.manual_seed(0)
    extractor = AnatomyExtractor((8, 8)).eval()
    image, context, means = torch.rand(2, 1, 8, 8, 8), torch.rand(1, 6, 4, 4, 4), torch.rand(2, 3)
    seen = []
    extractor.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    with torch.no_grad():
        extractor(image, context, means)
        extractor(image + 0.2, context, means + 0.2)
    assert seen[0].shape == (2, 9, 4, 4, 4)
    assert torch.equal(seen[0][:, :6], context.expand(2, -1, -1, -1, -1))
    for number in range(3):
        block = image[1, 0, 2:4, 4:6, 0:2].mean() - means[1, number]
        assert seen[0][1, 6 + number, 1, 2, 0].item() == pytest.approx(block.item(), abs=1e-5)
    torch.testing.assert_close(seen[0], seen[1])


def layered():
    """Context whose tissues lie in slabs along i, and an image with one intensity for each."""
    context, image = torch.zeros(1, 6, 48, 48, 48), torch.zeros(2, 1, 96, 96, 96)
    noise = 0.01 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    slabs = ((1, 2, 10), (2, 12, 26), (3, 28, 46))
    for number, (tissue, first, last) in enumerate(slabs):
        context[0, 2 + tissue, first:last] = 0.9
        image[0, :, 2 * first : 2 * last] = (0.2, 0.5, 0.8)[number]
        image[1, :, 2 * first : 2 * last] = (0.9, 0.4, 0.3)[number]
    return (image + noise * (image > 0)).clamp(0, 1), context


def test_tissue_means_are_those_of_each_image():
    image, context = layered()
    found = tissue_means(image, context)
    expected = torch.tensor([[0.2, 0.5, 0.8], [0.9, 0.4, 0.3]])
    torch.testing.assert_close(found, expected, atol=0.005, rtol=0)


def test_tissue_means_survive_a_lesion_and_do_not_count_what_was_stripped():
    image, context = layered()
    image[:, :, 60:80, 20:60, 20:60] = 0.05  # a lesion in a sixth of the white matter
    image[:, :, :, :24] = 0.0  # a quarter of the grid lies outside this brain mask
    found = tissue_means(image, context)
    expected = torch.tensor([[0.2, 0.5, 0.8], [0.9, 0.4, 0.3]])
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
