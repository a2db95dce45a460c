"""Corruption: always one-hot, only in the brain, the lesion half of the time."""

import torch

from anatomaly.training.synthesis import corrupt
from anatomaly.training.synthesis.corrupt import corrupt_tissue, deform_locally, drop_edges

SHAPE = (24, 28, 20)


def rng(seed):
    return torch.Generator().manual_seed(seed)


def case():
    """Shells of the four classes and a cube of lesion, half of it outside the brain."""
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    radius = grid.norm(dim=0)
    tissue = 3 - torch.bucketize(radius, torch.tensor([0.5, 0.7, 0.95]))
    lesion = torch.zeros(SHAPE)
    lesion[:8, 10:18, 6:14] = 1.0
    one_hot = torch.nn.functional.one_hot(tissue, 4).permute(3, 0, 1, 2)[None].float()
    return one_hot, lesion[None, None]


def test_one_class_a_voxel_and_background_untouched():
    healthy, lesion = case()
    for seed in range(20):
        found = corrupt_tissue(healthy, lesion, rng(seed))
        assert torch.equal(found.sum(1), torch.ones(1, *SHAPE))
        assert set(found.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(found[:, 0][healthy[:, 0] > 0], healthy[:, 0][healthy[:, 0] > 0])


def test_input_is_left_alone_and_a_seed_repeats():
    healthy, lesion = case()
    before = healthy.clone()
    first, second = (corrupt_tissue(healthy, lesion, rng(7)) for _ in range(2))
    assert torch.equal(healthy, before)
    assert torch.equal(first, second)


def test_a_lesion_becomes_one_tissue_about_half_of_the_time():
    healthy, lesion = case()
    inside = (lesion[0, 0] > 0) & (healthy[0, 0] == 0)
    whole = 0
    for seed in range(200):
        shares = corrupt_tissue(healthy, lesion, rng(seed))[0][:, inside].mean(1)
        whole += bool(shares[1:].max() > 0.98)
    assert 60 < whole < 130  # .5 of 200; moved boundaries touch some of them


def test_without_a_lesion_few_places_change():
    healthy, lesion = case()
    changed = [
        (corrupt_tissue(healthy, 0 * lesion, rng(s)) != healthy).any(1).float().mean().item()
        for s in range(40)
    ]
    assert 0 < sum(changed) / 40 < 0.06
    assert sum(c == 0 for c in changed) >= 5


def test_edges_are_dropped_never_made():
    edges = (torch.rand(1, 1, *SHAPE, generator=rng(0)) < 0.2).float()
    kept = []
    for seed in range(30):
        found = drop_edges(edges, rng(seed))
        assert ((found == edges) | (found == 0)).all()
        kept.append((found.sum() / edges.sum()).item())
    assert 0.7 < sum(kept) / 30 < 0.98
    assert min(kept) < 0.9


def test_deformed_maps_are_one_hot_in_the_same_brain():
    healthy, _ = case()
    changed = []
    for seed in range(20):
        found = deform_locally(healthy, rng(seed))
        assert torch.equal(found.sum(1), torch.ones(1, *SHAPE))
        assert torch.equal(found[:, 0], healthy[:, 0])
        changed.append((found != healthy).any(1).float().mean().item())
    assert 0.005 < sum(changed) / 20 < 0.4
    assert min(changed) < 0.5 * max(changed)


def test_a_share_of_maps_is_deformed_and_none_draws_nothing():
    healthy, _ = case()
    many = healthy.repeat(60, 1, 1, 1, 1)
    moved = (deform_locally(many, rng(0), 0.5) != many).flatten(1).any(1).sum().item()
    assert 18 < moved < 42
    untouched = rng(3)
    before = untouched.get_state()
    assert torch.equal(deform_locally(healthy, untouched, 0.0), healthy)
    assert torch.equal(untouched.get_state(), before)


def test_a_bump_has_its_largest_shift_and_no_fold():
    brain = torch.zeros(40, 40, 40, dtype=torch.bool)
    brain[20, 20, 20] = True
    for seed in range(20):
        field = corrupt._bump(rng(seed), brain)
        length = field.norm(dim=0)
        assert 0.9 < length.max() < 0.4 * 16
        assert length[0, 0, 0] < 0.3 * length.max()  # local
        slope = torch.stack([torch.stack(torch.gradient(c)) for c in field])  # (3, 3, I, J, K)
        jacobian = slope.permute(2, 3, 4, 0, 1) + torch.eye(3)
        assert torch.linalg.det(jacobian).min() > 0.03  # (1 − .4 · e^½)³ = .04


def test_shrinking_reads_from_farther_out(monkeypatch):
    """By hand: at distance σ from the centre the shift is a, straight outwards."""
    draws = iter([10.0, 2.0])  # σ, then |a|
    monkeypatch.setattr(corrupt, "uniform", lambda *_: next(draws))
    monkeypatch.setattr(corrupt, "chance", lambda *_: True)
    brain = torch.zeros(41, 41, 41, dtype=torch.bool)
    brain[20, 20, 20] = True
    field = corrupt._bump(rng(0), brain)
    assert torch.allclose(field[:, 30, 20, 20], torch.tensor([2.0, 0.0, 0.0]), atol=1e-5)
    assert torch.allclose(field[:, 20, 10, 20], torch.tensor([0.0, -2.0, 0.0]), atol=1e-5)
    assert field[:, 20, 20, 20].abs().max() == 0
