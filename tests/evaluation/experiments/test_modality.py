"""Experiment 3: shifts counted by hand, and networks that obey or ignore the code."""

import numpy as np
import pytest
import torch

from anatomaly import networks
from anatomaly.evaluation.experiments.modality import (
    MEAN,
    OTHER,
    OWN,
    draw,
    nearest_sequence,
    run,
    summarise,
)

BEFORE = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
NAMES = ("T1w", "T2w", "T1w", "T2w")


def test_shifts_by_hand():
    after = {OWN: BEFORE + np.array([0, 1]), OTHER: BEFORE[[1, 0, 3, 2]]}
    put_in = {OWN: BEFORE, OTHER: BEFORE[[1, 0, 3, 2]]}
    result = summarise(NAMES, put_in, after, seed=0)
    assert result.between_sequences == 4
    assert result.within_sequence == 0
    own, other = result.rows
    assert (own.from_own, own.from_put_in, own.right_sequence) == (0.25, 0.25, 1.0)
    assert (other.from_own, other.from_put_in, other.right_sequence) == (1.0, 0.0, 0.0)


def test_within_one_sequence_needs_two_scans():
    one = {OWN: BEFORE[:2]}
    assert np.isnan(summarise(NAMES[:2], one, one, 0).within_sequence)
    spread = {OWN: BEFORE + np.array([[0, 0], [0, 0], [0, 2], [0, 2]])}
    assert 0 < summarise(NAMES, spread, spread, 0).within_sequence < 1


def test_nearest_sequence():
    found = nearest_sequence(np.array([[1.0, 0], [3.0, 9]]), BEFORE, np.array(NAMES))
    assert found.tolist() == ["T1w", "T2w"]


def test_a_combiner_that_obeys_gives_back_what_was_put_in(fake_model, tmp_path):
    result = run(fake_model(), seed=0, count=2)
    rows = {row.put_in: row for row in result.rows}
    assert rows[OWN].from_own == pytest.approx(0, abs=0.02)  # codes travel in half precision
    assert rows[OTHER].from_put_in == pytest.approx(0, abs=0.02)
    assert 0.5 < rows[OTHER].from_own < 2
    assert rows[OTHER].right_sequence == 0
    assert 0.2 < rows[MEAN].from_own < rows[OTHER].from_own
    assert result.sequences == ("T1w", "T2w", "FLAIR") * 2
    draw(result, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_codes_kept_in_half_precision_meet_weights_in_full_precision(fake_model, monkeypatch):
    monkeypatch.setattr(networks, "half_precision", lambda _: None)  # a processor without it
    model = fake_model()
    combine = model.combine

    def strict(code, modality, mask):
        assert code.dtype == torch.float32, "a convolution with float32 weights refuses others"
        return combine(code, modality, mask)

    model.combine = strict
    assert len(run(model, seed=0, count=2).rows) == 3


def test_a_combiner_that_ignores_the_code_shifts_it(fake_model, monkeypatch):
    model = fake_model()
    grey = torch.tensor([[0.5, 0.5, 0.5]])
    combine = model.combine
    monkeypatch.setattr(model, "combine", lambda code, _, mask: combine(code, grey, mask))
    rows = {row.put_in: row for row in run(model, seed=0, count=1).rows}
    assert rows[OWN].from_own > 0.3
    assert rows[OWN].from_own == rows[OTHER].from_own
