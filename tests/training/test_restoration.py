"""The stages that restore, on a small patch: what they return, what they train, what they see."""

import pytest
import torch

from anatomaly.training.restoration import RestorationStage, StraightStage
from anatomaly.training.stages import pair_context


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_restoration_stage_trains_its_four_parts(model, batch, share, gradients):
    stage = RestorationStage(model, extractor_share=share)
    losses = stage.step(batch, 3)
    assert set(losses) >= {"first", "second", "restored", "tissue", "cycle"}
    assert all(torch.isfinite(v) and v >= 0 for v in losses.values())
    sum(losses.values()).backward()
    assert gradients(model) == {
        "anatomy_encoder",
        "modality_extractor",
        "representation_combiner",
        "anatomy_restorers",
    }


def test_the_tissue_that_is_asked_for_trains_the_restorer_alone(model, batch, gradients):
    RestorationStage(model).step(batch, 0)["tissue"].backward()
    assert gradients(model) == {"anatomy_restorers"}


def test_a_step_repeats_and_another_step_corrupts_otherwise(model, batch):
    stage = RestorationStage(model)
    with torch.no_grad():
        first, again, other = (stage.step(batch, s)["tissue"].item() for s in (5, 5, 6))
    assert first == again != other


def test_the_extractors_map_is_used_as_often_as_asked(model, batch, monkeypatch):
    calls = []
    forward = model.anatomy_extractor.forward
    monkeypatch.setattr(
        model.anatomy_extractor, "forward", lambda *a: calls.append(1) or forward(*a)
    )
    healthy = torch.nn.functional.one_hot(batch["tissue"], 4).permute(0, 4, 1, 2, 3).float()
    context = pair_context(model, batch)
    stage = RestorationStage(model, extractor_share=0.5)
    for seed in range(20):
        stage._seen_map(batch, healthy, context, torch.Generator().manual_seed(seed))
    assert 4 <= len(calls) <= 16


def test_targets_show_no_lesion(model, batch):
    with_lesion = dict(batch)
    with_lesion["healthy"] = batch["healthy"].clone()
    with torch.no_grad():
        before = RestorationStage(model).step(batch, 1)
        with_lesion["healthy"] += 0.2 * batch["brain"][:, None]
        after = RestorationStage(model).step(with_lesion, 1)
    assert before["first"] != after["first"]
    assert before["tissue"] == after["tissue"]


def test_straight_stage_trains_the_route_without_edges(model, batch, gradients):
    losses = StraightStage(model).step(batch, 1)
    assert set(losses) == {"straight", "code"}
    sum(losses.values()).backward()
    parts = {"anatomy_encoder", "modality_extractor", "representation_combiner"}
    assert gradients(model) == parts


def test_straight_stage_weighs_lesions(model, batch):
    """A lesion voxel counts six times, so another lesion gives another loss of the code."""
    stage = StraightStage(model, extractor_share=1.0)
    moved = dict(batch, lesion=batch["brain"] * torch.rand_like(batch["brain"]).round())
    with torch.no_grad():
        assert stage.step(batch, 1)["code"] != stage.step(moved, 1)["code"]
        assert stage.step(batch, 1)["straight"] == stage.step(moved, 1)["straight"]
