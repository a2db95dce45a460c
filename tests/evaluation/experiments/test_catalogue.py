"""Tables, JSON and names of the experiments."""

import json
import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from anatomaly.cli.experiments import EXPERIMENTS as COMMANDS
from anatomaly.evaluation.experiments import catalogue
from anatomaly.evaluation.experiments.catalogue import (
    EXPERIMENTS,
    Experiment,
    tables_of,
    write_experiment,
)
from anatomaly.evaluation.experiments.panels import Panel


@dataclass(frozen=True)
class Row:
    name: str
    dice: float


@dataclass(frozen=True)
class Result:
    rows: tuple
    shift: float
    seed: int
    panels: tuple
    codes: dict


RESULT = Result(
    (Row("a", 0.5), Row("b", math.nan)),
    1.5,
    3,
    (Panel("scan", np.zeros((2, 2), np.float32), "image"),),
    {"scan": np.zeros(3)},
)


def test_commands_and_catalogue_have_the_same_names():
    assert list(COMMANDS) == list(EXPERIMENTS)


def test_tables_hold_figures_and_nothing_else():
    tables = tables_of(RESULT)
    assert list(tables) == ["rows", "figures"]
    assert tables["rows"][0] == {"name": "a", "dice": 0.5}
    assert tables["figures"] == [{"shift": 1.5}]


def test_picture_and_json_are_written_and_the_json_is_valid(tmp_path, monkeypatch):
    drawn = []
    fake = Experiment("Why?", 1, lambda *_: RESULT, lambda result, path: drawn.append(path))
    monkeypatch.setitem(catalogue.EXPERIMENTS, "edges", fake)
    picture, figures = write_experiment("edges", RESULT, tmp_path / "new", {"weights": "w"})
    assert drawn == [picture] == [tmp_path / "new" / "edges.png"]

    def refuse(constant):
        raise ValueError(constant)

    content = json.loads(figures.read_text(), parse_constant=refuse)
    assert content["experiment"] == "edges"
    assert content["weights"] == "w"
    assert content["rows"] == [{"name": "a", "dice": 0.5}, {"name": "b", "dice": None}]


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_seed_count_and_model_are_handed_over(name, monkeypatch):
    module = getattr(catalogue, name.replace("-", "_"))
    asked = []
    monkeypatch.setattr(module, "run", lambda *given: asked.append(given))
    detector = SimpleNamespace(networks=SimpleNamespace(model="the model"))
    EXPERIMENTS[name].run(detector, 7, 2, None)
    assert asked[0][0] in ("the model", detector)
    assert asked[0][1:3] == (7, 2)
