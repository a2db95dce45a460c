"""The method that ranks drawn lesions best is written into the card, for each sequence."""

from pathlib import Path

import numpy as np
import pytest
import torch

from anatomaly import score
from anatomaly.errors import TrainingError
from anatomaly.method import PAPER, REFINED, usual_method
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.score import RebuiltScan
from anatomaly.training import choose
from anatomaly.training.choose import CANDIDATES, ChoiceConfig, choose_methods, is_possible
from anatomaly.training.cohort import Subject
from anatomaly.training.export import export_weights
from anatomaly.training.validation import ValidationScan
from anatomaly.types import SEQUENCES
from anatomaly.volume import PreparedImage
from anatomaly.weights_card import WeightsCard, read_card

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
    return ChoiceConfig(folder, Path("people"), Path("lesions"), count=2)


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


def test_without_people_the_card_stays(told, monkeypatch):
    before = (told.weights / "card.json").read_bytes()
    monkeypatch.setattr(choose, "load_cohort", lambda folder: [])
    with pytest.raises(TrainingError, match="no prepared people"):
        choose_methods(told)
    assert (told.weights / "card.json").read_bytes() == before


def test_only_what_the_weights_can_do_is_tried():
    card = WeightsCard("fake", "2026-01-02", "ab" * 32, "p", {})
    assert is_possible(PAPER, card)
    assert not is_possible(REFINED, card)
    assert not is_possible(usual_method("normalised"), card)


def test_candidates_are_different_methods_and_begin_with_the_paper():
    assert next(iter(CANDIDATES.values())) == PAPER
    assert REFINED in CANDIDATES.values()
    assert len(set(CANDIDATES.values())) == len(CANDIDATES)
