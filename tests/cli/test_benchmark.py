"""`anatomaly benchmark` hands its options over, prints means, and its status tells of failures."""

import json

import pytest

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.benchmark import run as run_module

GOOD = {
    "dataset": "phantoms", "sequence": "T1w", "method": "ae", "stratum": "all", "status": "ok",
    "ap": 0.3214, "dice": 0.2, "dice_oracle": 0.4, "f1": 0.5, "seconds": 1.0,
}  # fmt: skip


@pytest.fixture(name="asked")
def fixture_asked(monkeypatch):
    """Measure nothing; returns what was asked for."""
    asked = {"rows": [GOOD]}

    def measure(config, folder, workers, say, command, earlier):
        asked.update(config=config, folder=folder, workers=workers, earlier=earlier)
        if folder.name == "bad":
            raise EvaluationError("nothing there")
        say("one cell")
        return asked["rows"]

    monkeypatch.setattr(run_module, "run_benchmark", measure)
    return asked


def test_options_are_handed_over(run, asked, tmp_path):
    result = run("benchmark", "phantoms", "-o", tmp_path, "--workers", "2")
    assert result.exit_code == 0, result.output
    assert (asked["config"].name, asked["folder"], asked["workers"]) == ("phantoms", tmp_path, 2)
    assert "0.321" in result.stdout
    assert "table.md" in result.stdout
    assert "one cell" in result.stderr


def test_json(run, asked, tmp_path):
    asked["rows"] = [GOOD, {**GOOD, "method": "vae", "status": "ValueError: x", "ap": float("nan")}]
    result = run("benchmark", "phantoms", "-o", tmp_path, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["rows"] == [GOOD, {**asked["rows"][1], "ap": None}]
    assert said["table"] == str(tmp_path / "table.csv") and said["differences"] == []
    assert "0.321" in result.stderr


def test_status(run, asked, tmp_path):
    assert run("benchmark", "phantoms", "-o", tmp_path / "bad").exit_code == 1
    assert run("benchmark", "nowhere.toml", "-o", tmp_path).exit_code == 1
    assert run("benchmark").exit_code == 2
    asked["rows"] = [GOOD, {**GOOD, "method": "vae", "status": "ValueError: x"}]
    failed = run("benchmark", "phantoms", "-o", tmp_path)
    assert failed.exit_code == 1
    assert "ValueError: x" in failed.stdout


def test_another_table(run, asked, tmp_path):
    other = tmp_path / "other.csv"
    head = "dataset,sequence,method,stratum,ap\n"
    other.write_text(head + "phantoms,T1w,ae,all,0.33\n")
    assert run("benchmark", "phantoms", "-o", tmp_path, "--compare-with", other).exit_code == 0
    other.write_text(head + "phantoms,T1w,ae,all,0.43\n")
    differs = run("benchmark", "phantoms", "-o", tmp_path, "--compare-with", other)
    assert differs.exit_code == 1
    assert "AP 0.430 there, 0.321 here" in differs.stderr


def test_rows_to_keep(run, asked, tmp_path):
    table = tmp_path / "published.csv"
    table.write_text("dataset,sequence,method,stratum,status,ap\nphantoms,T1w,vae,all,ok,0.2\n")
    assert run("benchmark", "phantoms", "-o", tmp_path, "--keep", table).exit_code == 0
    assert [(row["method"], row["ap"]) for row in asked["earlier"]] == [("vae", 0.2)]
    table.write_text("nothing")
    assert run("benchmark", "phantoms", "-o", tmp_path, "--keep", table).exit_code == 1
