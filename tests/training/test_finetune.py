"""Fine-tuning: the contrast changes, the anatomy keeps its bytes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import finetune as finetune_module
from anatomaly.training.cohort import Subject
from anatomaly.training.cohort_run import CohortData
from anatomaly.training.export import export_weights
from anatomaly.training.finetune import FinetuneConfig, finetune
from anatomaly.training.loop import LoopConfig
from anatomaly.training.recipe import FINETUNE_LINES, read_recipe
from anatomaly.training.stages import FinetuneStage
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.weights import load_weights
from anatomaly.weights_card import read_card

CHANGED = ("modality_extractor.", "representation_combiner.")


@pytest.fixture(name="batch", scope="module")
def fixture_batch(scanned):
    pairs = PairGenerator([scanned], [], GeneratorConfig(patch=(32, 32, 32), seed=1))
    return default_collate([next(p for p in pairs if p["brain"].mean() > 0.6)])


def test_gradients_reach_the_modality_alone(batch):
    (plan,) = read_recipe(None, FINETUNE_LINES)
    model = PseudoHealthyModel()
    losses = FinetuneStage(model).step(batch, 0)
    assert set(losses) == set(plan.weights)
    sum(losses.values()).backward()
    moved = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved and all(name.startswith(CHANGED) for name in moved)
    assert {name.split(".")[0] + "." for name in moved} == set(CHANGED)


def test_the_anatomy_keeps_its_bytes(tmp_path, labels, monkeypatch):
    torch.manual_seed(0)
    model = PseudoHealthyModel()
    model.context.tissue_share.uniform_(0, 0.3)
    weights = export_weights(
        model,
        tmp_path / "old",
        dict.fromkeys(("T1w", "T2w", "FLAIR"), 0.2),
        licence="CC0",
        steps={"anatomy": 5},
    )
    (weights / "lesion_scorer.safetensors").write_bytes(b"scorer")
    labels = np.where(labels == 14, 0, labels).astype(np.uint8)
    flair = np.array([0, 20, 22, 140, 140, 0, 0, 0, 0, 100] + 5 * [0], np.uint8)[labels]
    people = [Subject("sub-a", labels, None, {"FLAIR": flair})]
    monkeypatch.setattr(
        finetune_module, "gather_cohort", lambda *_: CohortData(people, people, [], [])
    )
    config = FinetuneConfig(
        output=tmp_path / "run",
        weights=str(weights),
        bids=tmp_path / "scanner",
        steps={"finetune": 3},
        patch=(48, 48, 48),
        held_out_pairs=1,
        loop=LoopConfig(steps=0, workers=0, precision="fp32", validate_every=1),
    )
    folder = finetune(config)
    assert folder == tmp_path / "run" / "old-finetuned"
    before, after = (load_weights(str(f))[0] for f in (weights, folder))
    same = {name for name in before if torch.equal(before[name], after[name])}
    frozen = {name for name in before if not name.startswith(CHANGED)}
    assert same >= frozen
    assert len(before) - len(same) > 8
    card = read_card(folder)
    assert (card.name, card.licence, card.thresholds["T2w"]) == ("old-finetuned", "CC0", 0.2)
    assert card.steps["anatomy"] == 5 and card.steps["finetune"] in (1, 2, 3)
    assert card.training_data == ["finetuned on scanner"]
    assert "calibrate" in card.limits[-1]
    assert (folder / "lesion_scorer.safetensors").read_bytes() == b"scorer"
    assert json.loads((folder / "card.json").read_text())["sha256"] != read_card(weights).sha256


def test_unknown_stages_of_other_lists_are_refused(tmp_path, monkeypatch):
    from anatomaly.errors import TrainingError

    monkeypatch.setattr(finetune_module, "gather_cohort", lambda *_: SimpleNamespace())
    config = FinetuneConfig(output=tmp_path, weights="default", bids=tmp_path, steps={"anatomy": 3})
    with pytest.raises(TrainingError, match=r"unknown stages \['anatomy'\].*\['finetune'\]"):
        finetune(config)
