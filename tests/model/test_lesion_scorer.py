"""The refined score's network: what it is shown, channel by channel, and what it listens to."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from anatomaly.model.lesion_scorer import (
    EVIDENCE_CHANNELS,
    HEAD_START,
    LesionScorer,
    orient,
    stack_evidence,
)
from anatomaly.model.template_context import TemplateContext

SHAPE = (4, 5, 6)


def volumes(batch=2, seed=0):
    rng = np.random.default_rng(seed)
    floats = rng.random((5, batch, 1, *SHAPE)).astype(np.float32)
    image, mirrored, edges, tissue_map, structure = floats
    tissue = rng.integers(0, 4, (batch, *SHAPE))
    return image, mirrored, edges, tissue_map, structure, tissue


def test_evidence_channel_by_channel():
    image, mirrored, edges, by_tissue, structure, tissue = volumes()
    found = stack_evidence(*(torch.tensor(a) for a in volumes()))
    assert found.shape == (2, EVIDENCE_CHANNELS, *SHAPE) and found.dtype == torch.float32
    x, e, t = image[:, 0], edges[:, 0], by_tissue[:, 0]
    between = (np.minimum(e, t) <= x) & (x <= np.maximum(e, t))
    nearer = np.where(np.abs(x - e) < np.abs(x - t), e, t)
    expected = [
        x,
        np.where(between, x, nearer),
        x - e,
        x - t,
        np.stack([gaussian_filter(d, 2, radius=5, mode="nearest") for d in x - mirrored[:, 0]]),
        structure[:, 0],
        tissue == 1,
        tissue == 2,
        tissue == 3,
    ]
    assert 0.1 < between.mean() < 0.9
    for channel, volume in enumerate(expected):
        np.testing.assert_allclose(found[:, channel], volume, atol=1e-6, err_msg=str(channel))


def test_tissue_may_be_small_integers():
    """As `score.lesion_logit` has it, and in half precision."""
    *floats, tissue = (torch.tensor(a) for a in volumes())
    whole = stack_evidence(*floats, tissue)
    small = stack_evidence(*floats, tissue.to(torch.uint8))
    assert torch.equal(whole, small)


GRID = (32, 16, 48)


@pytest.fixture(name="scorer", scope="module")
def fixture_scorer():
    torch.manual_seed(0)
    return LesionScorer((8, 8, 12, 16)).eval()


@pytest.fixture(name="evidence", scope="module")
def fixture_evidence():
    return torch.rand(2, EVIDENCE_CHANNELS, *GRID, generator=torch.Generator().manual_seed(1))


@pytest.fixture(name="context", scope="module")
def fixture_context():
    context = TemplateContext()
    context.tissue_share += 0.3
    return context(torch.tensor([[20, 40, 60]]), GRID)


def run(scorer, evidence, context, *sequences):
    with torch.no_grad():
        return scorer(evidence, context, torch.tensor(sequences))


def test_one_logit_for_each_voxel(scorer, evidence, context):
    found = run(scorer, evidence, context, 0, 2)
    assert found.shape == (2, 1, *GRID) and found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert found.std() > 0


def test_starts_finite_also_where_the_evidence_is_empty():
    """As around the brain: what an untrained network adds to its head start is of its size."""
    torch.manual_seed(1)
    scorer = LesionScorer().eval()
    context = TemplateContext()(size=(32, 32, 32))
    for evidence in (torch.zeros(1, 9, 32, 32, 32), torch.rand(1, 9, 32, 32, 32)):
        found = run(scorer, evidence, context, 1)
        assert torch.isfinite(found).all()
        head_start = 12 * (evidence[:, :1] - evidence[:, 1:2]) - 4
        assert (found - head_start).abs().max() < 10


def test_untrained_it_ranks_as_the_residual_of_both_routes():
    """With a U-Net that says nothing: 12 times the gap to the nearer expectation, less 4."""
    scorer = LesionScorer((8, 8, 12, 16)).eval()
    for tensor in scorer.unet.head.parameters():
        torch.nn.init.zeros_(tensor)
    evidence = torch.rand(3, 9, 16, 16, 16, generator=torch.Generator().manual_seed(3)) + 0.01
    context = TemplateContext()(size=(16, 16, 16))
    found = run(scorer, evidence, context, 0, 1, 2)[:, 0]
    gap = evidence[:, 0] - evidence[:, 1]
    assert HEAD_START == (12.0, -4.0)
    # darker counts in T1w, brighter in T2w and FLAIR
    for member, sign in enumerate((-1, 1, 1)):
        np.testing.assert_allclose(found[member], 12 * sign * gap[member] - 4, atol=1e-4)


def test_t1w_is_turned_round_inside_the_brain():
    image, mirrored, edges, by_tissue, structure, tissue = (torch.tensor(a) for a in volumes(3))
    image[..., 0], edges[..., 0], by_tissue[..., 0] = 0, 0, 0  # outside
    before = stack_evidence(image, mirrored, edges, by_tissue, structure, tissue)
    found = orient(before, torch.tensor([1, 0, 2]))
    assert torch.equal(found[0], before[0]) and torch.equal(found[2], before[2])
    x = before[1].numpy()
    for channel in (0, 1):
        np.testing.assert_allclose(found[1, channel, ..., 1:], 1 - x[channel, ..., 1:], atol=1e-6)
        assert not found[1, channel, ..., 0].any()
    np.testing.assert_array_equal(found[1, 2:5], -x[2:5])
    np.testing.assert_array_equal(found[1, 5:], x[5:])
    torch.testing.assert_close(orient(found, torch.tensor([1, 0, 2])), before)  # its own undo


def test_sequence_matters(scorer, evidence, context):
    found = [run(scorer, evidence, context, n, n) for n in range(3)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (found[first] - found[second]).abs().max() > 1e-3


def test_place_matters(scorer, evidence, context):
    here = run(scorer, evidence, context, 1, 1)
    there = TemplateContext()(torch.tensor([[100, 100, 20]]), GRID)
    assert (run(scorer, evidence, there, 1, 1) - here).abs().max() > 1e-3


@pytest.mark.parametrize("channel", range(EVIDENCE_CHANNELS))
def test_every_channel_matters(scorer, evidence, context, channel):
    changed = evidence.clone()
    changed[:, channel] = changed[:, channel].flip(-1)
    difference = run(scorer, changed, context, 1, 1) - run(scorer, evidence, context, 1, 1)
    assert difference.abs().max() > 1e-3


def test_members_of_a_batch_have_their_own_sequence_and_place(scorer, evidence, context):
    """One context serves all, or each has its own; results are those of the members alone."""
    both = run(scorer, evidence, context, 0, 2)
    for member, sequence in enumerate((0, 2)):
        alone = run(scorer, evidence[member : member + 1], context, sequence)
        torch.testing.assert_close(both[member : member + 1], alone, atol=1e-4, rtol=1e-4)
    places = TemplateContext()(torch.tensor([[20, 40, 60], [100, 100, 20]]), GRID)
    each = run(scorer, evidence, places, 0, 2)
    for member, sequence in enumerate((0, 2)):
        own = (evidence[member : member + 1], places[member : member + 1], sequence)
        alone = run(scorer, *own)
        torch.testing.assert_close(each[member : member + 1], alone, atol=1e-4, rtol=1e-4)


def test_the_refinement_corrects_the_coarse_answer_by_the_evidence(evidence, context):
    """It starts at zero; its bias, once learnt, is added to every voxel."""
    torch.manual_seed(0)
    scorer = LesionScorer((8, 8, 12, 16)).eval()
    before = run(scorer, evidence, context, 1, 1)
    with torch.no_grad():
        scorer.refinement[-1].bias += 0.5
    torch.testing.assert_close(run(scorer, evidence, context, 1, 1), before + 0.5)


def test_every_weight_learns(evidence, context):
    torch.manual_seed(0)
    scorer = LesionScorer((8, 8, 12, 16))
    torch.nn.init.normal_(scorer.refinement[-1].weight)  # at zero nothing before it would learn
    scorer(evidence, context, torch.tensor([0, 1])).square().mean().backward()
    for name, parameter in scorer.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
