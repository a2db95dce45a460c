"""`--json`: standard output is one document and nothing else, whatever else is printed."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest
import typer

from anatomaly.cli import datasets
from anatomaly.cli.as_json import json_document
from anatomaly.evaluation.datasets import check
from anatomaly.evaluation.datasets.check import Report
from anatomaly.evaluation.datasets.dataset import Problem


def test_whatever_is_printed_goes_elsewhere(capsys):
    with json_document(True) as said:
        print("a library that talks")
        said.update(score=np.float32("nan"), name="Größe\udce4", numbers=(1, 2))
    out, err = capsys.readouterr()
    assert json.loads(out) == {"score": None, "name": "Größe\\xe4", "numbers": [1, 2]}
    assert out.isascii() and err == "a library that talks\n"


def test_not_asked_for_it_changes_nothing(capsys):
    with json_document(False) as said:
        print("a table")
        said["x"] = object()
    assert capsys.readouterr() == ("a table\n", "")


def test_an_exit_status_still_prints_and_an_error_does_not(capsys):
    with pytest.raises(typer.Exit), json_document(True) as said:
        said["failed"] = ["a"]
        raise typer.Exit(1)
    assert json.loads(capsys.readouterr().out) == {"failed": ["a"]}
    with pytest.raises(ZeroDivisionError), json_document(True) as said:
        said["x"] = 1 / 0
    assert capsys.readouterr().out == ""


def test_info(run, monkeypatch):
    module = ModuleType("anatomaly.weights")
    module.list_weights = list
    monkeypatch.setitem(sys.modules, "anatomaly.weights", module)
    result = run("info", "--json")
    said = json.loads(result.stdout)
    assert said["weights"] == [] and said["versions"]["numpy"] == np.__version__
    assert "cores" in said["devices"]["CPU"]
    assert "Weights: none" in result.stderr  # people still read it


def test_info_of_the_weights_that_ship(run):
    (card, *_) = json.loads(run("info", "--json").stdout)["weights"]
    assert set(card["thresholds"]) == {"T1w", "T2w", "FLAIR"} and len(card["sha256"]) == 64


def test_detect(run, fake, tmp_path):
    out, scans = tmp_path / "out", ["one_T1w.nii.gz", "broken.nii.gz", "doubtful.nii.gz"]
    result = run("detect", *scans, "-o", out, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert [scan["name"] for scan in said["scans"]] == ["one_T1w", "doubtful"]
    first, second = said["scans"]
    assert (first["lesions"], first["volume_ml"], first["sequence"]) == (2, 1.75, "T1w")
    assert first["folder"] == str(out / "one_T1w")
    assert second["warnings"] == ["registration is poor"]
    (failure,) = said["failures"]
    assert failure["scan"] == "broken.nii.gz" and failure["error"] == "ScanError"
    assert said["files"] == [
        str(out / name) for name in ("group_volumes.tsv", "group_lesions.tsv", "index.html")
    ]
    assert "1 of 3 scans failed" in result.stderr


def test_detect_says_what_it_skipped_and_nothing_where_it_could_not_start(run, fake, tmp_path):
    run("detect", "one.nii.gz", "-o", tmp_path)
    said = json.loads(
        run("detect", "one.nii.gz", "-o", tmp_path, "--skip-finished", "--json").stdout
    )
    assert (said["scans"], said["skipped"]) == ([], ["one"])
    broken = run("detect", "a.nii.gz", "-o", tmp_path, "--weights", "missing", "--json")
    assert (broken.exit_code, broken.stdout) == (1, "")


def test_datasets(run):
    said = json.loads(run("datasets", "--json").stdout)
    assert {"name": "mslub"}.items() <= next(
        dataset.items() for dataset in said["datasets"] if dataset["name"] == "mslub"
    )
    assert all(dataset["licence"] and dataset["apply"] for dataset in said["datasets"])


def test_datasets_check(run, tmp_path, monkeypatch):
    problem = Problem("wrong", "two labels", "patient 3")
    report = Report(2, 2, {"T1w": 2}, 1, 0, {"a": 1.5}, (problem,))
    monkeypatch.setattr(check, "check_dataset", lambda *_, **__: report)
    result = run("datasets", "check", "mslub", tmp_path, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["is_sound"] is False and said["lesion_ml"] == {"a": 1.5}
    assert said["problems"] == [{"kind": "wrong", "what": "two labels", "where": "patient 3"}]
    assert datasets.SHOWN == 3 and "two labels" in result.stderr


def test_report(run, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "run.json").write_text('{"sequence": "T1w", "lesions": 0}')
    said = json.loads(run("report", tmp_path, "--index-only", "--json").stdout)
    assert said["results"] == [str(tmp_path / "one")] and said["failed"] == []
    broken = run("report", tmp_path, "--json")
    assert broken.exit_code == 1
    assert json.loads(broken.stdout)["failed"] == [str(tmp_path / "one")]
