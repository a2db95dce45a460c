"""Experiment 4 tells a shape that is kept from one that is undone, and a score that sees it."""

from types import SimpleNamespace

import numpy as np
import pytest

from anatomaly.evaluation.experiments import deformation
from anatomaly.evaluation.experiments.deformation import (
    EXTRACTED,
    FROM_EDGES,
    FROM_MAP,
    METHOD,
    SHIPPED,
    draw,
    run,
)
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.networks import Networks
from anatomaly.weights_card import WeightsCard


@pytest.fixture(name="world")
def fixture_world(monkeypatch, balls):
    """One deformation: the ventricle of the ball grows; a model for each brain."""
    before, after = balls.draw(2.5), balls.draw(4.0)
    monkeypatch.setattr(
        deformation, "draw_brain", lambda seed, deform=None: after if deform else before
    )
    monkeypatch.setattr(deformation, "DEFORMATIONS", {"growth": lambda brain: "deformed"})
    monkeypatch.setattr(deformation, "LEAST_ML", 0.01)
    monkeypatch.setattr(deformation, "wall_distance", lambda brain: np.zeros(balls.shape))
    monkeypatch.setattr(deformation, "learn_reading", lambda model: np_eye())
    return SimpleNamespace(before=before, after=after, model=balls.model)


def np_eye():
    import torch

    return torch.eye(4)[:, 1:]


class FakeDetector:
    """`detect` marks `marked`; the model always restores `brain`."""

    def __init__(self, world, brain, marked):
        self.networks = Networks(world.model(brain), WeightsCard("fake", "d", "s", "p", {}))
        self.marked, self.seen = marked, []

    def detect(self, volume):
        self.seen.append(volume)
        score = SimpleNamespace(data=self.marked.astype(np.float32))
        return SimpleNamespace(anomaly_map=score, threshold=0.5)


def test_restoring_the_deformed_brain_keeps_all(world, tmp_path):
    changed = world.before.tissue_map != world.after.tissue_map
    detector = FakeDetector(world, world.after, changed)
    result = run(detector, seed=0, count=1)
    rows = {row.tissue_map: row for row in result.shapes}
    for name in (EXTRACTED, FROM_EDGES, FROM_MAP):
        assert (rows[name].kept, rows[name].undone) == (1.0, 0.0)
    grown = (world.after.tissue_map == 1).sum() / 1000
    assert rows[FROM_EDGES].ventricle_ml_after == grown
    assert rows["truth"].volume_kept == 1.0
    assert rows[FROM_EDGES].volume_kept == 0.0  # the fake says 'deformed' both times
    draw(result, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_restoring_the_brain_from_before_undoes_all(world):
    detector = FakeDetector(world, world.before, np.zeros(world.before.brain_mask.shape))
    rows = {row.tissue_map: row for row in run(detector, seed=0, count=1).shapes}
    assert (rows[FROM_EDGES].kept, rows[FROM_EDGES].undone) == (0.0, 1.0)
    assert rows[FROM_EDGES].right_undeformed == 1.0


def test_a_score_that_marks_the_change_is_perfect_and_an_empty_one_is_chance(world):
    changed = world.before.tissue_map != world.after.tissue_map
    brain = world.before.brain_mask
    for marked, expected in ((changed, 1.0), (np.zeros_like(changed), changed.sum() / brain.sum())):
        detector = FakeDetector(world, world.after, marked)
        rows = {row.score: row for row in run(detector, seed=0, count=1).scores}
        assert rows[SHIPPED].average_precision == pytest.approx(expected)
        assert rows[SHIPPED].above_threshold == float(marked.any())
        assert rows[SHIPPED].chance == pytest.approx(changed.sum() / brain.sum())
        assert np.isnan(rows[METHOD].above_threshold)
        assert len(detector.seen) == 2
        np.testing.assert_array_equal(detector.seen[0].affine, TEMPLATE_AFFINE)
        assert np.percentile(detector.seen[0].data[brain], 99.5) == pytest.approx(800, rel=1e-3)
