"""Corruption: always one-hot, only in the brain, the lesion half of the time."""

import torch

from anatomaly.training.synthesis.corrupt import corrupt_tissue, drop_edges

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
