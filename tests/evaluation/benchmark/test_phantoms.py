"""What is planted, into whom, and what is written beside it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch

from anatomaly.evaluation.benchmark import phantoms
from anatomaly.evaluation.benchmark.config import DatasetPlan
from anatomaly.evaluation.benchmark.phantoms import DrawPlan, draw_phantoms, parts_of_phantoms
from anatomaly.evaluation.benchmark.planting import HealthyPerson

PLAN = DatasetPlan("x", anatomy="cohort", folder="f", train=1, validation=1, lesions=1, healthy=1)


def test_shapes_are_those_that_no_weights_learnt_from(monkeypatch, tmp_path):
    asked = []

    def load(folder, cache, held_out=False):
        asked.append(held_out)
        return [SimpleNamespace(mask=torch.ones(2, 2, 2))]

    monkeypatch.setattr(phantoms, "load_shapes", load)
    drawing = DrawPlan(replace(PLAN, shapes="s"), ("T1w",), tmp_path, 0)
    assert next(phantoms._shapes(drawing)).all()
    assert asked == [True]


def test_only_what_is_missing_is_made_and_people_keep_their_names(monkeypatch, tmp_path):
    """A person of a cohort keeps the name; who is drawn is called by data set and number."""
    made = []

    def people(plan, sequences, seed, folder):
        for number in range(4):

            def make(number=number):
                made.append(number)
                brain = np.ones((4, 4, 4), bool)
                name = "IXI7" if number == 3 else ""
                return HealthyPerson(np.full((4, 4, 4), 0.5, np.float32), brain, name=name)

            yield number, "T1w", make

    planted = SimpleNamespace(image=np.ones((4, 4, 4)), lesion=np.ones((4, 4, 4), bool))
    monkeypatch.setattr(phantoms, "draw_people", people)
    monkeypatch.setattr(phantoms, "plant_lesions", lambda *_: (planted.image, planted.lesion))
    drawing = DrawPlan(PLAN, ("T1w",), tmp_path / "x", 0)
    draw_phantoms(drawing)
    draw_phantoms(drawing)
    assert made == [0, 1, 2, 3]
    (tmp_path / "x" / "T1w" / "validation-000.image.npz").unlink()
    draw_phantoms(drawing)
    assert made == [0, 1, 2, 3, 1]
    parts = parts_of_phantoms(PLAN, "T1w", tmp_path / "x" / "T1w")
    assert [part[0].person for part in parts] == [
        "x/train-000", "x/validation-000", "x/lesions-000", "IXI7",
    ]  # fmt: skip
    assert [part[0].label is None for part in parts] == [True, True, False, True]
    assert parts.lesions[0].label().lesion.all()
    assert parts.train[0].open().prepared.image.max() == np.float32(0.5)
