"""`anatomaly experiments` hands its options over, prints the figures and says where they are."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from anatomaly.errors import WeightsError
from anatomaly.evaluation.experiments import catalogue
from anatomaly.evaluation.experiments.catalogue import Experiment


@dataclass(frozen=True)
class Row:
    compared: str
    mean_dice: float


@dataclass(frozen=True)
class Result:
    rows: tuple


@pytest.fixture(name="asked")
def fixture_asked(monkeypatch):
    """Measure nothing; returns what the experiment `edges` was asked for."""
    asked = []

    def load(weights, edges):
        if weights == "missing":
            raise WeightsError("no weights called 'missing'")
        model = SimpleNamespace(edges="canny" if edges == "canny" else "oriented")
        card = SimpleNamespace(name=weights, sha256="abc", scorer_sha256="cd", preparation="p")
        return SimpleNamespace(card=card, networks=SimpleNamespace(model=model))

    def measure(detector, seed, count, data):
        asked.append((detector.card.name, seed, count, data))
        return Result((Row("T1w–T2w", 0.8765), Row("none", float("nan"))))

    fake = Experiment("Does it work?", 4, measure, lambda result, path: path.write_bytes(b"png"))
    monkeypatch.setitem(catalogue.EXPERIMENTS, "edges", fake)
    monkeypatch.setattr(catalogue, "load_detector", load)
    monkeypatch.delenv("ANATOMALY_DATA", raising=False)
    return asked


def test_options_are_handed_over_and_figures_come_back(run, asked, tmp_path):
    options = f"--weights mine --seed 3 --count 2 -o {tmp_path / 'out'} --data {tmp_path}"
    result = run("experiments", "edges", *options.split())
    assert result.exit_code == 0, result.output
    assert asked == [("mine", 3, 2, tmp_path)]
    assert "Does it work?" in result.stdout
    assert "mean dice" in result.stdout
    assert "0.876" in result.stdout or "0.877" in result.stdout
    assert str(tmp_path / "out" / "edges.png") in result.stdout
    content = json.loads((tmp_path / "out" / "edges.json").read_text())
    assert (content["weights"], content["seed"], content["count"]) == ("mine", 3, 2)
    assert content["rows"][0]["mean_dice"] == 0.8765 and content["edges"] == "oriented"
    result = run("experiments", "edges", *options.split(), "--json")
    said = json.loads(result.stdout)
    assert said["question"] == "Does it work?" and said["about"]["weights"] == "mine"
    assert next(iter(said["tables"].values()))[1] == {"compared": "none", "mean_dice": None}
    assert "mean dice" in result.stderr


def test_count_is_the_experiment_s_own_and_data_come_from_the_environment(
    run, asked, tmp_path, monkeypatch
):
    run("experiments", "edges", "-o", tmp_path)
    assert asked == [("default", 0, 4, None)]
    monkeypatch.setenv("ANATOMALY_DATA", str(tmp_path))
    run("experiments", "edges", "-o", tmp_path)
    assert asked[1][3] == tmp_path


def test_failure_is_1_and_wrong_usage_is_2(run, asked, tmp_path):
    failed = run("experiments", "edges", "-o", tmp_path, "--weights", "missing")
    assert failed.exit_code == 1
    assert "no weights called" in failed.stderr
    assert run("experiments", "edgse").exit_code == 2
    assert run("experiments", "edges", "--count", "0").exit_code == 2
    assert run("experiments", "edges", "--data", tmp_path / "none").exit_code == 2
    assert asked == []


def test_every_experiment_is_a_command_with_help(run):
    listing = run("experiments", "--help").stdout
    for name in catalogue.EXPERIMENTS:
        assert name in listing
