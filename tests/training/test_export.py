"""From checkpoints to weights: a round trip through the loader, later stages over earlier ones."""

import json

import numpy as np
import pytest
import torch

from anatomaly.errors import TrainingError, WeightsError
from anatomaly.method import REFINED
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.checkpoint import save_checkpoint
from anatomaly.training.export import export_weights, join_stages
from anatomaly.training.recipe import STAGES
from anatomaly.weights import load_weights
from anatomaly.weights_card import update_card

THRESHOLDS = {"T1w": 0.123456, "T2w": 0.2, "FLAIR": 0.3}


@pytest.fixture(name="model", scope="module")
def fixture_model():
    torch.manual_seed(0)
    model = PseudoHealthyModel()
    model.context.tissue_share.uniform_()
    return model


def save_stage(output, name, seed, step):
    """A checkpoint of one stage, of a model with weights of its own."""
    torch.manual_seed(seed)
    model = PseudoHealthyModel()
    trained = next(plan for plan in STAGES if plan.name == name).make(model).trained
    optimiser = torch.optim.AdamW(trained.parameters())
    save_checkpoint(output / name, trained, optimiser, {"step": step})
    return model


def save_shares(output):
    (output / "cache").mkdir(parents=True)
    shares = np.random.default_rng(0).random((3, 40, 48, 40)).astype(np.float32)
    np.save(output / "cache" / "tissue_share.npy", shares)
    return shares


def test_round_trip(model, tmp_path):
    folder = export_weights(
        model, tmp_path / "mine", THRESHOLDS, steps={"anatomy": 7}, limits=["x"]
    )
    assert {p.name for p in folder.iterdir()} == {"model.safetensors", "card.json"}
    tensors, card = load_weights(str(folder))
    assert card.name == "mine"
    assert card.thresholds == {"T1w": 0.1235, "T2w": 0.2, "FLAIR": 0.3}
    assert card.steps == {"anatomy": 7} and card.limits == ["x"]
    expected = model.state_dict()
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, expected[name].half().float()), name
    fresh = PseudoHealthyModel()
    fresh.load_state_dict(tensors)
    assert torch.equal(fresh.context.tissue_share, model.context.tissue_share.half().float())


def test_the_same_networks_keep_what_their_card_says_others_do_not(model, tmp_path):
    """Export, scorer, choose, export with further entries, calibrate: in this order."""
    folder = export_weights(model, tmp_path / "mine", THRESHOLDS, steps={"anatomy": 7})
    update_card(folder, {"scorer_sha256": "ab" * 32, "methods": {"T1w": REFINED.to_json()}})
    update_card(folder, {"steps": {"anatomy": 7, "scorer": 9}, "thresholds": {"T1w": 0.7}})
    export_weights(model, folder, None, licence="mine", steps={"anatomy": 7})
    card = load_weights(str(folder))[1]
    assert card.scorer_sha256 == "ab" * 32 and card.method_for("T1w") == REFINED
    assert (card.licence, card.thresholds) == ("mine", {"T1w": 0.7})
    assert card.steps == {"anatomy": 7, "scorer": 9}
    export_weights(model, folder, THRESHOLDS | {"T1w": 0.4})
    assert load_weights(str(folder))[1].thresholds["T1w"] == 0.4
    with pytest.raises(TrainingError, match="new networks have no thresholds"):
        export_weights(PseudoHealthyModel(), folder, None)
    assert load_weights(str(folder))[1].scorer_sha256 == "ab" * 32  # nothing was replaced
    export_weights(PseudoHealthyModel(), folder, THRESHOLDS)
    other = load_weights(str(folder))[1]
    assert other.scorer_sha256 == "" and other.methods == {} and other.licence == ""


def test_stages_without_a_checkpoint_come_from_the_weights_the_run_went_on_from(model, tmp_path):
    old = export_weights(model, tmp_path / "old", THRESHOLDS)
    save_shares(tmp_path)
    edges = save_stage(tmp_path, "edges", 3, 20)
    joined, steps = join_stages(tmp_path, str(old))
    assert steps == {"edges": 20}
    expected = load_weights(str(old))[0]
    for name, tensor in joined.state_dict().items():
        source = edges.state_dict() if name.startswith("anatomy_restorer") else expected
        if not name.startswith("context"):
            assert torch.equal(tensor, source[name]), name


def test_half_the_size(model, tmp_path):
    folder = export_weights(model, tmp_path / "mine", THRESHOLDS)
    numbers = sum(t.numel() for t in model.state_dict().values())
    size = (folder / "model.safetensors").stat().st_size
    assert 2 * numbers < size < 2 * numbers + 50_000


def test_a_changed_file_or_card_is_refused(model, tmp_path):
    folder = export_weights(model, tmp_path / "mine", THRESHOLDS)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"preparation": "f" * 12}))
    with pytest.raises(WeightsError, match="made for preparation ffff"):
        load_weights(str(folder))
    (folder / "card.json").write_text(json.dumps(card | {"sha256": "0" * 64}))
    with pytest.raises(WeightsError, match="SHA-256"):
        load_weights(str(folder))


def test_exporting_again_replaces(model, tmp_path):
    export_weights(model, tmp_path / "mine", THRESHOLDS)
    torch.manual_seed(1)
    other = PseudoHealthyModel()
    folder = export_weights(other, tmp_path / "mine", THRESHOLDS)
    tensors, _ = load_weights(str(folder))
    name = "anatomy_restorers.oriented.unet.head.weight"
    assert torch.equal(tensors[name], other.state_dict()[name].half().float())


def test_later_stages_win(tmp_path):
    shares = save_shares(tmp_path)
    anatomy = save_stage(tmp_path, "anatomy", 1, 40)
    restoration = save_stage(tmp_path, "restoration", 2, 30)
    edges = save_stage(tmp_path, "edges", 3, 20)
    model, steps = join_stages(tmp_path)
    assert steps == {"anatomy": 40, "restoration": 30, "edges": 20}
    assert not model.training
    np.testing.assert_array_equal(model.context.tissue_share[0].numpy(), shares)
    for part, source in (
        ("anatomy_extractor", anatomy),
        ("anatomy_encoder", restoration),
        ("modality_extractor", restoration),
        ("representation_combiner", restoration),
        ("anatomy_restorer", edges),
    ):
        found = getattr(model, part).state_dict()
        for name, tensor in getattr(source, part).state_dict().items():
            assert torch.equal(found[name], tensor), (part, name)


def test_nothing_to_join(tmp_path):
    with pytest.raises(TrainingError, match="train first"):
        join_stages(tmp_path)
    save_shares(tmp_path)
    with pytest.raises(TrainingError, match="no checkpoint found"):
        join_stages(tmp_path)


def test_a_checkpoint_of_another_model(tmp_path):
    save_shares(tmp_path)
    net = torch.nn.Linear(2, 2)
    save_checkpoint(tmp_path / "anatomy", net, torch.optim.AdamW(net.parameters()), {"step": 1})
    with pytest.raises(TrainingError, match="another model"):
        join_stages(tmp_path)
