"""The method that ranks drawn lesions best is written into the card, for each sequence."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from anatomaly import score
from anatomaly.errors import TrainingError
from anatomaly.method import PAPER, REFINED
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.score import RebuiltScan
from anatomaly.training import choose
from anatomaly.training.choose import CANDIDATES, ChoiceConfig, choose_methods, is_possible
from anatomaly.training.cohort import Subject
from anatomaly.training.export import export_weights
from anatomaly.training.validation import ValidationScan
from anatomaly.types import SEQUENCES
from anatomaly.volume import PreparedImage
from anatomaly.weights_card import WeightsCard, read_card, update_card

SHAPE = (24, 24, 24)


def draw(people, shapes, sequence, count):
    """A lesion that both routes miss, and a sulcus that one of them misses as much."""
    assert shapes == ["held out"] and count == 2
    image = np.full(SHAPE, 0.5, np.float32)
    lesion = np.zeros(SHAPE, bool)
    lesion[8:12, 8:12, 8:12] = True
    image[lesion] += -0.2 if sequence == "T1w" else 0.2
    for _ in range(count):
        yield ValidationScan(PreparedImage(image, np.ones(SHAPE, bool), sequence), lesion, "ms")


def rebuild(model, image, mask, methods):
    sulcus = torch.zeros_like(image)
    sulcus[..., 14:16], sulcus[..., 16:18] = 0.3, -0.3
    edges, tissue = 0.5 + sulcus, 0.5 - sulcus
    expected = {"edges": (edges,), "tissue_map": (tissue,), "both": (edges, tissue)}
    scans = {}
    for method in methods:
        ways = expected[method.route]
        phi = score.join_routes(image, ways)
        white, none = np.full(SHAPE, 3, np.uint8), np.zeros(SHAPE, bool)
        scans[method.route, method.reuse] = RebuiltScan(image, phi, white, none, ways)
    return scans


@pytest.fixture(name="told")
def fixture_told(tmp_path, monkeypatch):
    monkeypatch.setattr(choose, "draw_validation", draw)
    monkeypatch.setattr(choose, "load_shapes", lambda *a, held_out: ["held out"] * held_out)
    monkeypatch.setattr(choose, "load_cohort", lambda folder: [Subject("a", None, None)])
    monkeypatch.setattr(score, "rebuild", rebuild)
    folder = export_weights(
        PseudoHealthyModel(), tmp_path / "mine", dict.fromkeys(SEQUENCES, 0.9), limits=["few"]
    )
    return ChoiceConfig(folder, Path("people"), (), Path("lesions"), count=2)


def test_both_routes_win_where_only_the_lesion_is_missed_by_both(told):
    said = []
    choose_methods(told, said.append)
    card = read_card(told.weights)
    for sequence in SEQUENCES:
        method = card.method_for(sequence)
        assert method.route == "both" and method.score in ("residual", "hybrid"), method
    assert card.limits == ["few"]
    assert [line.split(":")[0] for line in said[:3]] == list(SEQUENCES)
    assert "mean AP 1.000" in said[0] and "calibrate" in said[3]


def test_what_belongs_to_another_method_goes_with_it(told):
    """So that nothing is cut at the threshold of a method that is no longer used."""
    both = next(m for m in CANDIDATES.values() if (m.route, m.score) == ("both", "hybrid"))
    update_card(
        told.weights,
        {
            "methods": {"T1w": PAPER.to_json(), "T2w": both.to_json()},
            "thresholds": dict.fromkeys(SEQUENCES, 0.3),
            "probability": {"T1w": [1.0, 0.0], "T2w": [2.0, 0.0]},
        },
    )
    choose_methods(told)
    card = read_card(told.weights)
    assert card.method_for("T2w") == both
    assert card.thresholds == {"T2w": 0.3} and card.probability == {"T2w": [2.0, 0.0]}


def test_people_that_training_saw_are_refused_and_the_card_stays(told):
    before = (told.weights / "card.json").read_bytes()
    with pytest.raises(TrainingError, match="trained on: a"):
        choose_methods(replace(told, trained=(Path("seen"),)))
    assert (told.weights / "card.json").read_bytes() == before


def test_only_what_the_weights_can_do_is_tried():
    card = WeightsCard("fake", "2026-01-02", "ab" * 32, "p", {})
    assert is_possible(PAPER, card)
    assert not is_possible(REFINED, card)
    assert is_possible(REFINED, replace(card, scorer_sha256="cd" * 32))
    assert all(method.score != "normalised" for method in CANDIDATES.values())


def test_candidates_are_different_methods_and_begin_with_the_paper():
    assert next(iter(CANDIDATES.values())) == PAPER
    assert REFINED in CANDIDATES.values()
    assert len(set(CANDIDATES.values())) == len(CANDIDATES)
