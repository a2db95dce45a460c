"""`anatomaly tabulate`: which results it takes, what it says, and what fails."""

import json

import numpy as np
import pytest

from anatomaly import corrected
from anatomaly.corrected import compare
from anatomaly.errors import ScanError
from anatomaly.volume import Volume


def edit():
    before, after = np.zeros((3, 3, 3)), np.zeros((3, 3, 3))
    before[0, 0, 0], after[1, 1, :2] = 1, 1
    affine = np.diag([10, 10, 10, 1.0])
    return compare(Volume(before, affine), Volume(after, affine), ())


@pytest.fixture(name="results")
def fixture_results(tmp_path, monkeypatch):
    """Results of which `edited` was edited and `bad` cannot be read."""
    done = []
    for name in ("edited", "deep/same", "bad"):
        (tmp_path / name).mkdir(parents=True)
        run = {"sequence": "T1w", "threshold": 0.3, "warnings": [], "lesions": 0}
        (tmp_path / name / "run.json").write_text(json.dumps(run))
        (tmp_path / name / "lesions.tsv").write_text("number\tvolume_mm3\n")

    def correct_result(folder):
        done.append(folder.name)
        if folder.name == "bad":
            raise ScanError(f"{folder}: [another] grid")
        return edit() if folder.name == "edited" else None

    monkeypatch.setattr(corrected, "correct_result", correct_result)
    return tmp_path, done


def test_every_result_and_a_bad_one_stops_no_other(run, results):
    folder, done = results
    result = run("tabulate", folder)
    assert result.exit_code == 1
    assert done == ["bad", "same", "edited"]
    assert "[another] grid" in result.stderr
    assert "2.00 mL added, 1.00 mL removed; 0 lesions" in result.stderr
    assert "1 of 3 masks were edited and tabulated; 1 failed" in result.stderr
    assert not (folder / "index.html").exists()  # there was none to bring in line


def test_what_lies_over_all_results_follows(run, results):
    folder, _ = results
    (folder / "index.html").write_text("old")
    assert run("tabulate", folder / "edited", "-q").exit_code == 0
    assert "edited" in (folder / "index.html").read_text()
    assert "\nedited\tT1w\t" in (folder / "group_volumes.tsv").read_text()
    (folder / "index.html").write_text("old")
    assert run("tabulate", folder / "deep").exit_code == 0
    assert (folder / "index.html").read_text() == "old"  # nothing was edited


def test_json(run, results):
    folder, _ = results
    said = json.loads(run("tabulate", folder, "--json").stdout)
    assert said["edited"][str(folder / "edited")]["added_ml"] == 2.0
    assert said["unchanged"] == [str(folder / "deep" / "same")]
    assert "another" in said["failed"][str(folder / "bad")]


def test_no_result(run, tmp_path):
    result = run("tabulate", tmp_path)
    assert result.exit_code == 1 and "holds no result" in result.stderr
    assert run("tabulate", tmp_path / "missing").exit_code == 2
