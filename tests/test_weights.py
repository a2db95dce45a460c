"""Weights and their card: found, checked, refused."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from anatomaly import weights
from anatomaly.errors import WeightsError
from anatomaly.method import REFINED, usual_method
from anatomaly.model.lesion_scorer import LesionScorer
from anatomaly.preprocess import normalise
from anatomaly.weights import (
    DEFAULT_WEIGHTS,
    SCORER_FILE,
    find_weights,
    list_weights,
    load_model,
    load_scorer,
    load_weights,
    preparation_hash,
    write_tensors,
)
from anatomaly.weights_card import WeightsCard, healthy_ml_for, read_card, update_card


def write(folder, **changes):
    """A set of weights with two tensors, one of half precision."""
    folder.mkdir(parents=True)
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3).half(), "b": torch.tensor([0.25])}
    save_file(tensors, folder / "model.safetensors")
    card = {
        "name": folder.name,
        "date": "2026-01-02",
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "preparation": preparation_hash(),
        "thresholds": {"T1w": 0.1, "T2w": 0.2, "FLAIR": 0.3},
        "a field of a later version": 1,
    } | changes
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture(name="bundled")
def fixture_bundled(tmp_path, monkeypatch):
    """Another folder in the place of the one that ships with the package."""
    monkeypatch.setattr(weights, "bundled_folder", lambda: tmp_path / "bundled")
    return tmp_path / "bundled"


@pytest.mark.usefixtures("bundled")
def test_a_folder_of_ones_own(tmp_path):
    tensors, card = load_weights(str(write(tmp_path / "mine")))
    assert card.name == "mine"
    assert card.thresholds["FLAIR"] == 0.3
    assert {t.dtype for t in tensors.values()} == {torch.float32}
    assert torch.equal(tensors["a.weight"], torch.arange(6.0).reshape(2, 3))


def test_a_folder_without_its_networks_is_refused(bundled, tmp_path):
    write(bundled / "other")
    (write(tmp_path / "mine") / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"mine.model.safetensors: cannot be read"):
        load_weights(str(tmp_path / "mine"))


@pytest.mark.usefixtures("bundled")
def test_weights_of_another_model(tmp_path):
    with pytest.raises(WeightsError, match="mine: weights of another model"):
        load_model(str(write(tmp_path / "mine")))


def test_bundled_ones_by_name_and_by_default(bundled):
    write(bundled / DEFAULT_WEIGHTS)
    write(bundled / "another")
    assert find_weights("default") == bundled / DEFAULT_WEIGHTS
    assert find_weights("another") == bundled / "another"
    assert [card.name for card in list_weights()] == ["another", DEFAULT_WEIGHTS]


def test_none_are_bundled(bundled):
    assert not bundled.exists()
    assert list_weights() == []
    with pytest.raises(WeightsError, match="bundled are none"):
        find_weights("default")


def test_unknown_name_lists_the_known_ones(bundled):
    write(bundled / DEFAULT_WEIGHTS)
    with pytest.raises(WeightsError, match=f"'other'.*{DEFAULT_WEIGHTS}"):
        load_weights("other")


@pytest.mark.usefixtures("bundled")
def test_another_file_is_refused(tmp_path):
    folder = write(tmp_path / "mine")
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1  # one bit of the last tensor
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"SHA-256 .* damaged or was replaced"):
        load_weights(str(folder))


@pytest.fixture(name="scored")
def fixture_scored(bundled, tmp_path):
    """Weights with a refined score in half precision; the folder and the network."""
    torch.manual_seed(0)
    scorer = LesionScorer()
    path = tmp_path / SCORER_FILE
    save_file({k: v.half().contiguous() for k, v in scorer.state_dict().items()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    folder = write(tmp_path / "mine", scorer_sha256=digest)
    path.rename(folder / SCORER_FILE)
    return folder, scorer


def test_the_refined_score_of_weights(scored):
    folder, scorer = scored
    found = load_scorer(read_card(folder), str(folder))
    assert not found.training
    for name, tensor in found.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, scorer.state_dict()[name].half().float()), name
    weight = found.unet.stem[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_weights_without_a_refined_score(bundled):
    folder = write(bundled / "plain")
    with pytest.raises(WeightsError, match=r"plain: brings no refined score; .*train scorer"):
        load_scorer(read_card(folder), "plain")


def test_a_refined_score_that_is_missing_or_another_is_refused(scored):
    folder, _ = scored
    card = read_card(folder)
    content = bytearray((folder / SCORER_FILE).read_bytes())
    content[-1] ^= 1  # one bit of the last tensor
    (folder / SCORER_FILE).write_bytes(content)
    with pytest.raises(WeightsError, match=r"SHA-256 .* damaged or was replaced"):
        load_scorer(card, str(folder))
    (folder / SCORER_FILE).unlink()
    with pytest.raises(WeightsError, match=r"lesion_scorer\.safetensors: cannot be read"):
        load_scorer(card, str(folder))


def test_a_refined_score_of_another_network_is_refused(scored):
    folder, _ = scored
    other = LesionScorer((24, 48, 96)).state_dict()
    save_file({k: v.contiguous() for k, v in other.items()}, folder / SCORER_FILE)
    digest = hashlib.sha256((folder / SCORER_FILE).read_bytes()).hexdigest()
    card = dataclasses.replace(read_card(folder), scorer_sha256=digest)
    with pytest.raises(WeightsError, match="mine: scorer of another network"):
        load_scorer(card, str(folder))


@pytest.mark.usefixtures("bundled")
def test_written_tensors_are_halved_and_found_by_their_hash(tmp_path):
    folder = write(tmp_path / "mine")
    strided = torch.linspace(-2, 2, 15).reshape(3, 5).T.requires_grad_()
    digest = write_tensors(folder / "model.safetensors", {"a": strided, "b": torch.ones(2).half()})
    path = folder / "model.safetensors"
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {p.name for p in folder.iterdir()} == {"card.json", "model.safetensors"}
    with pytest.raises(WeightsError, match="SHA-256"):  # the card still means the old file
        load_weights(str(folder))
    update_card(folder, {"sha256": digest})
    tensors, _ = load_weights(str(folder))
    assert torch.equal(tensors["a"], strided.detach().half().float())
    assert torch.equal(tensors["b"], torch.ones(2))
    assert path.stat().st_size < 17 * 2 + 250  # 17 numbers of two bytes, and a header


@pytest.mark.usefixtures("bundled")
def test_a_kill_while_writing_leaves_the_old_tensors(tmp_path, monkeypatch):
    folder = write(tmp_path / "mine")
    before = (folder / "model.safetensors").read_bytes()

    def killed(tensors, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        write_tensors(folder / "model.safetensors", {"a": torch.ones(2)})
    assert (folder / "model.safetensors").read_bytes() == before
    load_weights(str(folder))


def test_a_changed_card_keeps_its_other_entries(tmp_path):
    folder = write(tmp_path / "mine", limits=["few"])
    before = json.loads((folder / "card.json").read_text())
    update_card(folder, {"thresholds": {"T1w": 0.5}, "healthy_sha256": "ab"})
    after = json.loads((folder / "card.json").read_text())
    assert after == before | {"thresholds": {"T1w": 0.5}, "healthy_sha256": "ab"}
    assert after["a field of a later version"] == 1


@pytest.mark.usefixtures("bundled")
def test_another_preparation_is_refused(tmp_path):
    folder = write(tmp_path / "mine", preparation="0123456789ab")
    with pytest.raises(WeightsError, match="made for preparation 0123456789ab"):
        load_weights(str(folder))


@pytest.mark.usefixtures("bundled")
def test_a_file_that_is_no_safetensors_is_refused(tmp_path):
    folder = write(tmp_path / "mine", sha256=hashlib.sha256(b"no tensors").hexdigest())
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_weights(str(folder))


@pytest.mark.parametrize("content", ["{", "[1]", "null", '{"name": "x"}', "\xff"])
def test_a_damaged_card_is_refused(tmp_path, content):
    (tmp_path / "card.json").write_text(content, encoding="latin-1")
    with pytest.raises(WeightsError, match="not a weights card"):
        read_card(tmp_path)


FALSE_ML = {"threshold": [0.2, 0.5], "half": [2.0, 0.5], "most": [8.0, 3.0]}


def test_what_healthy_brains_show_is_read_and_checked(tmp_path):
    assert read_card(write(tmp_path / "older")).healthy_ml == {}
    card = read_card(write(tmp_path / "mine", healthy_ml={"FLAIR": FALSE_ML}))
    assert card.healthy_ml == {"FLAIR": FALSE_ML}
    for wrong in ({"FLAIR": FALSE_ML | {"half": [2.0]}}, {"FLAIR": None}, [FALSE_ML]):
        update_card(tmp_path / "mine", {"healthy_ml": wrong})
        with pytest.raises(WeightsError, match=r"mine.card\.json: "):
            read_card(tmp_path / "mine")


def test_healthy_volumes_are_told_where_they_were_measured_so():
    """Not of another sequence, method or least size."""
    methods = {"FLAIR": REFINED.to_json()}
    curves = {"FLAIR": FALSE_ML, "T2w": FALSE_ML}
    card = WeightsCard("w", "d", "s", "p", {"FLAIR": 0.3}, methods, healthy_ml=curves)
    told = {**FALSE_ML, "default": 0.3}
    assert healthy_ml_for(card, "FLAIR", REFINED, 20.0) == told
    for other in (replace(REFINED, smoothing_mm=1.0), usual_method("hybrid")):
        assert healthy_ml_for(card, "FLAIR", other, 20.0) == {}
    assert healthy_ml_for(card, "FLAIR", REFINED, 50.0) == {}
    assert healthy_ml_for(card, "T1w", card.method_for("T1w"), 20.0) == {}
    assert healthy_ml_for(card, "T2w", card.method_for("T2w"), 20.0) == {}  # no threshold


def test_preparation_hash_follows_grid_and_percentiles(monkeypatch):
    before = preparation_hash()
    assert len(before) == 12 and int(before, 16) >= 0
    assert preparation_hash() == before
    monkeypatch.setattr(normalise, "HIGH_PERCENTILE", 99.0)
    changed = preparation_hash()
    monkeypatch.setattr(weights, "TEMPLATE_SHAPE", (160, 192, 176))
    larger = preparation_hash()
    monkeypatch.setattr(normalise, "HIGH_VALUE", 1.0)
    brighter = preparation_hash()
    monkeypatch.setattr(normalise, "PREPARATION_VERSION", 99)
    assert len({before, changed, larger, brighter, preparation_hash()}) == 5


def test_required_entries_of_a_card():
    required = {
        f.name
        for f in dataclasses.fields(WeightsCard)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    assert required == {"name", "date", "sha256", "preparation", "thresholds"}


def test_cards_are_read_without_torch():
    code = "import sys, anatomaly.weights as w; w.list_weights(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
