"""`anatomaly-bids`: exit statuses, filters, failures, what is not computed twice."""

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from anatomaly.bids import session_files
from anatomaly.cli import session_task
from anatomaly.cli.bids_app import run
from anatomaly.preprocess.resample import template_grid

FAKES = Path(__file__).parents[1] / "bids" / "fake_detector.py"


@pytest.fixture(name="fakes", scope="module")
def fixture_fakes():
    spec = importlib.util.spec_from_file_location("fake_detector", FAKES)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("fake_detector", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="detector")
def fixture_detector(fakes, monkeypatch):
    nothing = template_grid()  # a second for each map is saved: these tests look at no voxel
    nothing = nothing.with_data(np.zeros(nothing.shape, np.float32))
    monkeypatch.setattr(session_files, "resample_to_template", lambda *_: nothing)
    monkeypatch.setattr(fakes, "laid_in_template", lambda *_: nothing.data)
    detector = fakes.FakeDetector()
    monkeypatch.setattr(session_task, "load_weights", lambda *_: detector)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return detector


@pytest.fixture(name="raw")
def fixture_raw(fakes, tmp_path):
    """Two people with a good T1w scan, a third whose scan is broken."""
    for number in (1, 2):
        fakes.write_head(tmp_path / f"raw/sub-0{number}/anat/sub-0{number}_T1w.nii.gz")
    broken = tmp_path / "raw/sub-03/anat/sub-03_FLAIR.nii.gz"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"x")
    return tmp_path / "raw"


def app(*arguments):
    return run([str(argument) for argument in arguments])


def test_a_bad_scan_costs_nobody_else(raw, detector, tmp_path, capsys):
    out = tmp_path / "out"
    assert app(raw, out, "participant") == 65
    assert detector.seen == ["sub-01_T1w.nii.gz", "sub-02_T1w.nii.gz", "sub-03_FLAIR.nii.gz"]
    assert (out / "sub-02/anat/sub-02_label-L_mask.nii.gz").is_file()
    assert not (out / "sub-03").exists()
    log = json.loads((out / "logs/sub-03_FLAIR.json").read_text())
    assert log["scan"] == "bids:raw:sub-03/anat/sub-03_FLAIR.nii.gz"
    assert "1 of 6 scans failed" in capsys.readouterr().err
    assert app(raw, out, "group") == 0
    assert "broken" in (out / "index.html").read_text()


def test_a_second_run_goes_on_where_the_first_stopped(raw, detector, tmp_path):
    out = tmp_path / "out"
    filters = ("--participant-label", "01", "sub-02")
    assert app(raw, out, "participant", *filters) == 0
    kept = (out / "sub-01/anat/sub-01_label-L_probseg.json").stat().st_mtime_ns
    (out / "sub-02/anat/sub-02_label-L_desc-T1w_probseg.json").unlink()  # killed in between
    detector.seen.clear()
    assert app(raw, out, "participant", *filters) == 0
    assert detector.seen == ["sub-02_T1w.nii.gz"]
    assert (out / "sub-01/anat/sub-01_label-L_probseg.json").stat().st_mtime_ns == kept
    detector.seen.clear()
    assert app(raw, out, "participant", "--participant-label", "01", "--redo") == 0
    assert detector.seen == ["sub-01_T1w.nii.gz"]
    assert (out / "sub-01/anat/sub-01_label-L_probseg.json").stat().st_mtime_ns > kept


def test_filters(raw, fakes, detector, tmp_path):
    fakes.write_head(raw / "sub-04/ses-a/anat/sub-04_ses-a_T2w.nii.gz")
    out = tmp_path / "out"
    assert app(raw, out, "participant", "--session-label", "a") == 0
    assert detector.seen == ["sub-04_ses-a_T2w.nii.gz"]
    assert app(raw, out, "participant", "--sequence", "T2w", "T1w") == 0
    assert len(detector.seen) == 3


def test_a_job_for_one_sequence_keeps_the_failures_of_another(raw, fakes, detector, tmp_path):
    fakes.write_head(raw / "sub-03/anat/sub-03_T1w.nii.gz")
    out, who = tmp_path / "out", ("--participant-label", "03", "--sequence")
    assert app(raw, out, "participant", *who, "FLAIR") == 65
    assert app(raw, out, "participant", *who, "T1w") == 0
    assert (out / "logs/sub-03_FLAIR.json").is_file()


def test_threads_reach_the_programs_that_read_the_environment(raw, detector, tmp_path, monkeypatch):
    import os

    assert app(raw, tmp_path / "out", "participant", "--n-cpus", 3, "--sequence", "T1w") == 0
    assert os.environ["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (17, ("{raw}", "{out}", "session")),
        (66, ("{raw}/nowhere", "{out}", "participant")),
        (16, ("{raw}/sub-01", "{out}", "participant")),
        (18, ("{raw}", "{out}", "participant", "--participant-label", "99")),
        (64, ("{raw}", "{out}", "participant", "--min-lesion-mm3", "-1")),
        (73, ("{raw}", "{raw}", "participant")),
        (73, ("{raw}", "{raw}/sub-01/anat/sub-01_T1w.nii.gz", "participant")),
        (66, ("{raw}", "{out}", "group")),
    ],
)
def test_exit_statuses(raw, detector, tmp_path, status, arguments, capsys):
    filled = [a.format(raw=raw, out=tmp_path / "out") for a in arguments]
    assert app(*filled) == status
    assert capsys.readouterr().err.startswith("anatomaly-bids: ")
    assert detector.seen == []


def test_a_data_set_without_such_scans(tmp_path):
    (tmp_path / "raw/sub-01/func").mkdir(parents=True)
    assert app(tmp_path / "raw", tmp_path / "out", "participant") == 66


@pytest.mark.parametrize("words", [(), ("--n-cpus", "0"), ("--sequence", "PD")])
def test_wrong_usage_is_64_and_not_2(words, capsys):
    with pytest.raises(SystemExit) as left:
        app(*(("raw", "out", "participant", *words) if words else ()))
    assert left.value.code == 64


def test_a_file_under_another_persons_label_is_refused_and_the_others_go_on(
    raw, fakes, detector, tmp_path, capsys
):
    (raw / "sub-03/anat/sub-03_FLAIR.nii.gz").unlink()
    fakes.write_head(raw / "sub-02/anat/sub-01_FLAIR.nii.gz")
    out = tmp_path / "out"
    assert app(raw, out, "participant") == 65
    assert detector.seen == ["sub-01_T1w.nii.gz", "sub-02_T1w.nii.gz"]
    said = capsys.readouterr().err
    assert "sub-01_FLAIR.nii.gz: FAILED: its name is not that of its folder sub-02" in said
    assert "sub-03: left out: no T1w, T2w or FLAIR scan" in said
    assert not list(out.rglob("*FLAIR*"))
    assert app(raw, out, "group") == 0
    failed = (out / "failures.tsv").read_text("utf-8")
    assert "bids:raw:sub-02/anat/sub-01_FLAIR.nii.gz\tBidsError" in failed
    (raw / "sub-02/anat/sub-01_FLAIR.nii.gz").unlink()
    assert app(raw, out, "group") == 0
    assert not (out / "failures.tsv").exists()


def test_what_is_not_fetched_says_how_to_fetch_it(raw, detector, tmp_path, capsys):
    broken = raw / "sub-03/anat/sub-03_FLAIR.nii.gz"
    broken.write_text("/annex/objects/MD5E-s5231288--8af00966a4838b26260d375b22d8d84c.nii.gz\n")
    link = raw / "sub-04/anat/sub-04_T1w.nii.gz"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../.git/annex/objects/3f/v2/K/K")
    assert app(raw, tmp_path / "out", "participant") == 65
    assert detector.seen == ["sub-01_T1w.nii.gz", "sub-02_T1w.nii.gz"]
    assert capsys.readouterr().err.count("not fetched, git-annex keeps") >= 2


@pytest.mark.parametrize(
    "words",
    [
        ("--participant-label", "01", "99"),
        ("--participant_label", "sub-01", "--participant_label", "sub-99"),
    ],
)
def test_a_label_that_matches_nobody_is_told_and_the_others_are_done(
    raw, detector, tmp_path, capsys, words
):
    assert app(raw, tmp_path / "out", "participant", *words) == 18
    assert detector.seen == ["sub-01_T1w.nii.gz"]
    assert "sub-99: no such label" in capsys.readouterr().err


def test_a_label_without_its_zeros_is_answered_with_the_right_one(raw, detector, tmp_path, capsys):
    assert app(raw, tmp_path / "out", "participant", "--participant-label", "1") == 18
    assert "did you mean sub-01? there are 3: sub-01, sub-02, sub-03" in capsys.readouterr().err
    assert app(raw, tmp_path / "out", "participant", "--session-label", "x") == 18
    assert "ses-x: no such label in the data set; it has none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("--skip-bids-validation", "-w", "{work}"),
        ("--skip_bids_validation", "--work-dir", "{work}", "-v"),
        ("--skip_bids_validator", "--work_dir", "{work}", "-vv"),
        ("--skip-bids-validator", "--verbose"),
    ],
)
def test_options_of_every_bids_app_are_taken(raw, detector, tmp_path, monkeypatch, words):
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    filled = [word.format(work=tmp_path / "work") for word in words]
    assert app(raw, tmp_path / "out", "participant", "--participant-label", "01", *filled) == 0
    if "{work}" in words:
        assert tempfile.gettempdir() == str(tmp_path / "work")


def test_labels_that_swallow_the_folders_are_explained(capsys):
    with pytest.raises(SystemExit):
        app("--participant-label", "01", "raw", "out", "participant")
    assert "options that take several values go to the end" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["-v", "--version"])
def test_version(word, capsys):
    with pytest.raises(SystemExit) as left:
        app(word)
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("anatomaly ")


def test_what_is_left_out_is_told_once_a_reason(raw, fakes, detector, tmp_path, capsys):
    for number in (1, 2):
        fakes.write_head(raw / f"sub-0{number}/anat/sub-0{number}_ce-gad_T1w.nii.gz")
        fakes.write_head(raw / f"sub-0{number}/anat/sub-0{number}_T1w.nii")
    fakes.write_head(raw / "sub-01/anat/sub-01_run-2_T1w.nii.gz")
    people = ("--participant-label", "01", "02")
    out = tmp_path / "out"
    assert app(raw, out, "participant", *people) == 0
    said = capsys.readouterr().err
    assert "sub-01_ce-gad_T1w.nii.gz and 1 more: left out: after contrast agent" in said
    assert "sub-01_T1w.nii and 1 more: left out: the .nii.gz image of the same name" in said
    assert "not in it: sub-01_run-2_T1w" in said
    assert "with warnings, see the top of their pages: 5 maps" in said
    assert app(raw, out, "group") == 0
    rows = [line.split("\t") for line in (out / "group_left_out.tsv").read_text().splitlines()]
    assert rows[0] == ["participant_id", "session_id", "file", "reason"]
    assert ["sub-02", "n/a", "sub-02/anat/sub-02_T1w.nii"] in [row[:3] for row in rows]
    table = (out / "group_volumes.tsv").read_text("utf-8")
    assert table.count("a doubt") == 5
    assert "a doubt" in (out / "index.html").read_text("utf-8")
