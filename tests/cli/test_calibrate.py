"""`anatomaly calibrate`: which scans it takes, and what it passes on."""

import pytest

from anatomaly.cli.calibrate import list_controls
from anatomaly.evaluation.controls import calibrate


@pytest.fixture(name="passed")
def fixture_passed(monkeypatch):
    passed = []

    def fake(task, say, start):
        passed.append(task)
        start("sub-1")
        say("a line")

    monkeypatch.setattr(calibrate, "calibrate_controls", fake)
    return passed


def test_a_bids_data_set_stands_for_its_scans(tmp_path):
    for name in ("sub-1", "sub-2"):
        anat = tmp_path / name / "anat"
        anat.mkdir(parents=True)
        for suffix in ("T1w", "FLAIR"):
            (anat / f"{name}_{suffix}.nii.gz").write_bytes(b"x")
    alone = tmp_path / "other_T1w.nii.gz"
    alone.write_bytes(b"x")
    named = list_controls([tmp_path, alone])
    assert list(named) == ["sub-1_T1w", "sub-1_FLAIR", "sub-2_T1w", "sub-2_FLAIR", "other_T1w"]
    assert list(list_controls([tmp_path], "FLAIR")) == ["sub-1_FLAIR", "sub-2_FLAIR"]


def test_nobody_of_a_data_set_counts_twice(tmp_path):
    for session in ("ses-1", "ses-2"):
        anat = tmp_path / "sub-1" / session / "anat"
        anat.mkdir(parents=True)
        for run_label in ("run-1", "run-2"):
            (anat / f"sub-1_{session}_{run_label}_T1w.nii.gz").write_bytes(b"x")
    (named,) = list_controls([tmp_path])
    assert named == "sub-1_ses-1_run-1_T1w"


def test_a_folder_of_files_stands_for_them(tmp_path):
    for name in ("sub-2_T1w.nii.gz", "sub-1_T1w.nii"):
        (tmp_path / name).write_bytes(b"x")
    assert list(list_controls([tmp_path])) == ["sub-1_T1w", "sub-2_T1w"]


def test_options_are_passed_on(run, passed, tmp_path):
    scan = tmp_path / "a_T1w.nii.gz"
    scan.write_bytes(b"x")
    said = run("calibrate", scan, "-o", tmp_path / "ours", "--no-plant", "--seed", "3")
    assert said.exit_code == 0, said.output
    (task,) = passed
    assert (task.plant, task.seed, task.output) == (False, 3, tmp_path / "ours")
    assert list(task.scans.values()) == [scan]
    assert "--weights" in said.stderr
