"""The stages on a small patch: what they return, what they train, what they are blind to."""

import pytest
import torch
from torch.utils.data import default_collate

from anatomaly.model.anatomy_edges import anatomy_edges
from anatomaly.training.restoration import RestorationStage
from anatomaly.training.stages import (
    AnatomyStage,
    DisentangleStage,
    EdgeStage,
    healthy_tissue_map,
    known_sequence,
    pair_context,
    swap_members,
)
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator


def test_context_is_that_of_each_patch(model, batch):
    context = pair_context(model, batch)
    assert context.shape == (2, 6, 16, 16, 16)
    whole = model.context()[0]
    for patch, (i, j, k) in zip(context, (batch["start"] // 2).tolist(), strict=True):
        assert torch.equal(patch, whole[:, i : i + 16, j : j + 16, k : k + 16])


def test_anatomy_stage_trains_the_extractor_alone(model, batch, gradients):
    losses = AnatomyStage(model).step(batch, 0)
    assert set(losses) == {"tissue", "consistency"}
    sum(losses.values()).backward()
    assert gradients(model) == {"anatomy_extractor"}


def test_anatomy_stage_compares_members_of_one_pair(model, batch):
    twins = dict(batch)
    twins["image"] = batch["image"][:, :1].repeat(1, 2, 1, 1, 1, 1)
    twins["tissue_means"] = batch["tissue_means"][:, :1].repeat(1, 2, 1)
    with torch.no_grad():
        assert AnatomyStage(model).step(twins)["consistency"].item() == pytest.approx(0, abs=1e-6)
        assert AnatomyStage(model).step(batch)["consistency"].item() > 1e-4


def test_anatomy_stage_weighs_lesions(model, batch):
    other = dict(batch, lesion=1 - (batch["lesion"] > 0).float())
    with torch.no_grad():
        first, second = (AnatomyStage(model).step(b) for b in (batch, other))
    assert first["tissue"] != second["tissue"]
    assert first["consistency"] == second["consistency"]


def test_edge_stage_trains_the_restorer_alone_and_needs_no_image(
    model, drawn, shapes, batch, gradients
):
    config = GeneratorConfig(patch=(32, 32, 32), seed=1, images=False)
    pairs = PairGenerator([drawn], shapes, config)
    blind = default_collate([pairs[i] for i in range(2)])
    assert blind["image"].numel() == blind["healthy"].numel() == 0
    for data in (blind, batch):
        losses = EdgeStage(model).step(data, 2)
        assert set(losses) == {"tissue"}
        losses["tissue"].backward()
        assert gradients(model) == {"anatomy_restorers"}


def test_without_corruption_the_restorer_sees_the_edges_of_the_healthy_map(
    model, batch, monkeypatch
):
    seen = []
    answer = torch.zeros(2, 4, 32, 32, 32)
    monkeypatch.setattr(
        model.anatomy_restorer, "logits", lambda edges, context: seen.append(edges) or answer
    )
    EdgeStage(model, corrupt=False).step(batch, 2)
    EdgeStage(model).step(batch, 2)
    whole, corrupted = seen
    assert torch.equal(whole, anatomy_edges(healthy_tissue_map(batch), "oriented"))
    assert not torch.equal(whole, corrupted)
    assert corrupted.any(1).sum() < whole.any(1).sum()


def test_edge_stage_asks_for_the_healthy_tissue_and_weighs_lesions(model, batch, monkeypatch):
    sure = 20.0 * healthy_tissue_map(batch)
    monkeypatch.setattr(model.anatomy_restorer, "logits", lambda edges, context: sure)
    assert EdgeStage(model).step(batch, 0)["tissue"].item() == pytest.approx(0, abs=1e-3)
    inside = batch["lesion"] > 0.5
    assert inside.any()
    wrong_inside, wrong_elsewhere = sure.clone(), sure.clone()
    wrong_inside[:, 0:1][inside] = 40.0
    count = int(inside.sum())
    flat = wrong_elsewhere[:, 0].reshape(-1)
    flat[torch.nonzero((batch["tissue"] > 0).reshape(-1) & ~inside.reshape(-1))[:count, 0]] = 40.0
    found = []
    for logits in (wrong_inside, wrong_elsewhere):
        monkeypatch.setattr(model.anatomy_restorer, "logits", lambda e, c, x=logits: x)
        found.append(EdgeStage(model).step(batch, 0)["tissue"].item())
    assert found[0] > found[1] > 0.01


DISENTANGLE_LOSSES = {"tissue", "consistency", "self", "cross", "margin", "cycle"}


def test_disentangle_stage_trains_the_drm(model, batch, gradients):
    losses = DisentangleStage(model).step(batch, 1)
    assert set(losses) == DISENTANGLE_LOSSES
    assert all(torch.isfinite(v) and v >= 0 for v in losses.values())
    sum(losses.values()).backward()
    parts = {"anatomy_encoder", "modality_extractor", "representation_combiner"}
    assert gradients(model) == parts | {"anatomy_extractor"}


@pytest.mark.parametrize("one_hot", [True, False])
def test_the_encoder_reads_tissue_shares_only_without_one_hot(model, batch, monkeypatch, one_hot):
    seen = []
    encode = model.anatomy_encoder.forward
    monkeypatch.setattr(
        model.anatomy_encoder, "forward", lambda *a: seen.append(a[0].detach()) or encode(*a)
    )
    DisentangleStage(model, one_hot).step(batch, 1)
    (tissue,) = seen
    assert torch.allclose(tissue.sum(1), torch.ones(()), atol=1e-5)
    assert bool(((tissue == 0) | (tissue == 1)).all()) is one_hot


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("cross", {"anatomy_extractor", "anatomy_encoder", "modality_extractor"}),
        ("margin", {"modality_extractor"}),
        ("cycle", {"anatomy_extractor", "anatomy_encoder", "modality_extractor"}),
    ],
)
def test_where_the_gradients_of_the_drm_go(model, batch, name, parts, gradients):
    DisentangleStage(model).step(batch, 1)[name].backward()
    assert gradients(model) - {"representation_combiner"} == parts


def test_cross_rebuilds_the_partner_with_the_partners_modality(model, batch, monkeypatch):
    """With a combiner that only shows the modality, cross compares it with the other image."""
    level = torch.tensor([0.2, 0.7, 0.4, 0.9])

    def code_of(image, tissue_map):
        return level[:, None].expand(-1, 16) if len(image) == 4 else None

    def show(code, modality):
        return modality[:, :1, None, None, None].expand(-1, -1, *code.shape[2:])

    monkeypatch.setattr(model.modality_extractor, "forward", code_of)
    monkeypatch.setattr(model.representation_combiner, "forward", show)
    fitting = dict(batch)
    fitting["healthy"] = level.view(2, 2, 1, 1, 1, 1) * batch["brain"][:, None]
    with torch.no_grad():
        found = DisentangleStage(model).step(fitting, 0)
        wrong = DisentangleStage(model).step(fitting | {"healthy": fitting["healthy"].flip(1)}, 0)
    assert found["self"].item() == pytest.approx(0, abs=1e-5)
    assert found["cross"].item() == pytest.approx(0, abs=1e-5)
    assert wrong["self"] > 0.2 and wrong["cross"] > 0.2


def test_members_are_swapped_within_their_pair():
    codes = torch.arange(8.0).view(4, 2)
    assert swap_members(codes)[:, 0].tolist() == [2, 0, 6, 4]


def test_a_random_contrast_is_no_sequence():
    assert known_sequence(torch.tensor([0, 1, 2, 3])).tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize("make", [EdgeStage, RestorationStage])
def test_deformed_edges_are_asked_for_the_undeformed_tissue(model, batch, make):
    plain, deformed = make(model), make(model, deformed_share=1.0)
    with torch.no_grad():
        before, after = plain.step(batch, 4), deformed.step(batch, 4)
    assert before["tissue"] != after["tissue"]
    if "first" in before:
        assert before["first"] == after["first"]  # the code of the healthy map is as it was
