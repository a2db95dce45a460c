"""The restorer: shares that sum to one, and no way in for intensities."""

import torch

from anatomaly.model.anatomy_edges import anatomy_edges
from anatomaly.model.anatomy_extractor import AnatomyExtractor
from anatomaly.model.anatomy_restorer import AnatomyRestorer
from anatomaly.model.one_hot import one_hot_levels

CONTEXT = torch.rand(1, 6, 12, 12, 12, generator=torch.Generator().manual_seed(5))


def restorer():
    torch.manual_seed(0)
    return AnatomyRestorer((8, 12)).eval()


def nested_balls():
    """Anatomical image of white matter in grey matter in CSF, values on the class centres."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(24.0)] * 3, indexing="ij"))
    radius = (grid - 11.7).norm(dim=0)
    image = torch.zeros(24, 24, 24)
    for edge, level in ((10.5, 0.29), (8.0, 0.48), (5.0, 0.72)):
        image[radius < edge] = level
    return image[None, None]


def test_shares_sum_to_one():
    edges = (torch.rand(2, 1, 24, 24, 24) > 0.9).float()
    with torch.no_grad():
        code = restorer()(edges, CONTEXT)
        logits = restorer().logits(edges, CONTEXT)
    assert code.shape == (2, 8, 24, 24, 24)
    torch.testing.assert_close(code.sum(1), torch.ones(2, 24, 24, 24))
    torch.testing.assert_close(code, logits.softmax(1))


def test_intensities_that_leave_the_edges_alone_leave_the_answer_alone():
    net = restorer()
    image = nested_balls()
    noise = 0.05 * (torch.rand(image.shape, generator=torch.Generator().manual_seed(1)) - 0.5)
    changed = image + noise * (image > 0)
    with torch.no_grad():
        first, second = (net(anatomy_edges(one_hot_levels(i)), CONTEXT) for i in (image, changed))
    assert (changed - image).abs().max() > 0.02
    assert torch.equal(first, second)


def test_a_new_outline_changes_the_answer():
    net = restorer()
    image = nested_balls()
    lesion = image.clone()
    lesion[..., 6:10, 6:10, 10:14] = 0.29
    with torch.no_grad():
        first, second = (net(anatomy_edges(one_hot_levels(i)), CONTEXT) for i in (image, lesion))
    assert (first - second).abs().max() > 1e-3


def test_no_gradient_flows_from_the_answer_to_the_image():
    torch.manual_seed(0)
    extractor = AnatomyExtractor((8, 8))
    image = torch.rand(1, 1, 24, 24, 24, requires_grad=True)
    code = restorer()(
        anatomy_edges(extractor(image, CONTEXT, torch.rand(1, 3)).tissue_map), CONTEXT
    )
    code.square().sum().backward()
    assert image.grad is None
