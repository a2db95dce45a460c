"""What the weights that ship bring."""

import pytest

from anatomaly.types import EDGE_KINDS
from anatomaly.weights import list_weights, load_model


def test_one_set_of_weights_ships_and_it_is_the_default():
    assert [card.name for card in list_weights()] == [load_model("default")[1].name]


def test_its_restorers_are_trained_for_both_kinds_of_edges():
    model, _ = load_model("default")
    assert model.edges == "oriented"
    for kind in EDGE_KINDS:
        model, _ = load_model("default", kind)
        assert model.edges == kind
        correction = model.anatomy_restorer.refinement[2].weight.detach()
        assert float(correction.abs().max()) > 0  # untrained it is 0


@pytest.mark.parametrize("sequence", ["T1w", "T2w", "FLAIR"])
def test_its_card_is_calibrated(sequence):
    _, card = load_model("default")
    assert 0 < card.thresholds[sequence] < 1
    slope, _ = card.probability[sequence]
    assert slope > 0
    assert len(card.healthy_ml[sequence]["threshold"]) > 10
    assert not any("not calibrated" in limit for limit in card.limits)
