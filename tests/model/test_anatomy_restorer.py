"""The restorer: shares that sum to one, and no way in for intensities."""

import numpy as np
import pytest
import torch

from anatomaly.model.anatomy_edges import anatomy_edges
from anatomaly.model.anatomy_extractor import AnatomyExtractor
from anatomaly.model.anatomy_restorer import AnatomyRestorer, spread_shares
from anatomaly.model.one_hot import one_hot_levels

CONTEXT = torch.rand(1, 6, 12, 12, 12, generator=torch.Generator().manual_seed(5))


KINDS = pytest.mark.parametrize("kind", ["canny", "oriented"])


def restorer(kind="canny"):
    torch.manual_seed(0)
    net = AnatomyRestorer(kind, (8, 12)).eval()
    torch.nn.init.normal_(net.refinement[-1].weight, std=0.05)
    return net


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
    assert code.shape == (2, 4, 24, 24, 24)
    torch.testing.assert_close(code.sum(1), torch.ones(2, 24, 24, 24))
    torch.testing.assert_close(code, logits.softmax(1))


@KINDS
def test_intensities_that_leave_the_edges_alone_leave_the_answer_alone(kind):
    net = restorer(kind)
    image = nested_balls()
    noise = 0.05 * (torch.rand(image.shape, generator=torch.Generator().manual_seed(1)) - 0.5)
    changed = image + noise * (image > 0)
    with torch.no_grad():
        first, second = (
            net(anatomy_edges(one_hot_levels(i), kind), CONTEXT) for i in (image, changed)
        )
    assert (changed - image).abs().max() > 0.02
    assert torch.equal(first, second)


@KINDS
def test_a_new_outline_changes_the_answer(kind):
    net = restorer(kind)
    image = nested_balls()
    lesion = image.clone()
    lesion[..., 6:10, 6:10, 10:14] = 0.29
    with torch.no_grad():
        first, second = (
            net(anatomy_edges(one_hot_levels(i), kind), CONTEXT) for i in (image, lesion)
        )
    assert (first - second).abs().max() > 1e-3


def test_only_oriented_edges_tell_which_side_is_which():
    """White in grey matter and grey in white: the same outline, the other way round."""
    cube = torch.zeros(1, 1, 24, 24, 24, dtype=torch.bool)
    cube[..., 7:16, 6:17, 8:15] = True
    first, second = torch.where(cube, 0.72, 0.48), torch.where(cube, 0.48, 0.72)
    maps = [one_hot_levels(i) for i in (first, second)]
    binary = [anatomy_edges(m) for m in maps]
    assert torch.equal(*binary) and binary[0].sum() > 100
    signed = [anatomy_edges(m, "oriented") for m in maps]
    torch.testing.assert_close(signed[0], -signed[1])
    with torch.no_grad():
        plain = [restorer("canny")(e, CONTEXT) for e in binary]
        told = [restorer("oriented")(e, CONTEXT) for e in signed]
    assert torch.equal(*plain)
    assert (told[0] - told[1]).abs().max() > 1e-3


def test_no_gradient_flows_from_the_answer_to_the_image():
    torch.manual_seed(0)
    extractor = AnatomyExtractor((8, 8))
    image = torch.rand(1, 1, 24, 24, 24, requires_grad=True)
    code = restorer()(
        anatomy_edges(extractor(image, CONTEXT, torch.rand(1, 3)).tissue_map), CONTEXT
    )
    code.square().sum().backward()
    assert image.grad is None


def walk_and_average(edges, shares, steps):
    """The spreading of shares voxel by voxel, as its docstring says it."""
    shape = edges.shape
    values = np.where(edges[None] > 0, 0.0, shares)
    for step in range(steps):
        last, out = step == steps - 1, np.zeros_like(values)
        for place in np.ndindex(shape):
            if edges[place] and not last:
                continue
            moves = [(0, 0, 0), *(tuple(s * row) for row in np.eye(3, dtype=int) for s in (1, -1))]
            near = [tuple(np.add(place, move)) for move in moves]
            near = [p for p in near if all(0 <= a < n for a, n in zip(p, shape, strict=True))]
            near = [p for p in near if not edges[p]]
            if near:
                out[(slice(None), *place)] = np.mean([values[(slice(None), *p)] for p in near], 0)
        values = out
    return values


def test_shares_spread_by_brute_force():
    rng = np.random.default_rng(0)
    edges = (rng.random((6, 8, 4)) < 0.3).astype(np.float32)
    shares = rng.random((3, 3, 4, 2)).astype(np.float32)
    whole = shares.repeat(2, 1).repeat(2, 2).repeat(2, 3)
    found = spread_shares(torch.tensor(edges)[None, None], torch.tensor(shares)[None], steps=4)
    np.testing.assert_allclose(found[0].numpy(), walk_and_average(edges, whole, 4), atol=1e-5)


def test_shares_never_cross_an_edge():
    edges = torch.zeros(1, 1, 16, 8, 8)
    edges[:, :, 8] = 1
    shares = torch.zeros(1, 3, 8, 4, 4)
    shares[:, 2, 5:] = 0.9  # white matter behind the wall alone
    found = spread_shares(edges, shares)
    assert found[:, :, :8].max() == 0
    assert found[:, 2, 9:].min() > 0.2
