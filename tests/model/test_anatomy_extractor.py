"""The anatomical image between the class centres, and the map that follows from it."""

import pytest
import torch

from anatomaly.model.anatomy_extractor import AnatomyExtractor
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
        found = extractor(torch.rand(2, 1, 16, 12, 20), torch.rand(2, 6, 8, 6, 10))
    assert found.anatomical_image.shape == (2, 1, 16, 12, 20)
    assert found.logits.shape == found.tissue_map.shape == (2, 4, 16, 12, 20)
    assert found.anatomical_image.min() >= 0 and found.anatomical_image.max() <= 0.72
    assert torch.equal(found.tissue_map.sum(1), torch.ones(2, 16, 12, 20))


def test_gradient_reaches_the_network_through_the_hard_map():
    torch.manual_seed(0)
    extractor = AnatomyExtractor((8, 8))
    found = extractor(torch.rand(1, 1, 8, 8, 8), torch.rand(1, 6, 4, 4, 4))
    found.tissue_map[:, 2].sum().backward()
    assert extractor.unet.stem[0].weight.grad.abs().max() > 0
