"""Scans and sessions of a BIDS data set, in processes beside the program."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anatomaly.cli.session_task import SessionTask
from anatomaly.config import DetectConfig

PROGRAM = Path(__file__).with_name("fake_program.py")
FAKES = Path(__file__).parents[1] / "bids" / "fake_detector.py"


@pytest.fixture(name="raw")
def fixture_raw(tmp_path):
    """Two people with a scan, and a third whose scan is broken."""
    spec = importlib.util.spec_from_file_location("fake_detector", FAKES)
    fakes = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("fake_detector", fakes)
    spec.loader.exec_module(fakes)
    for name in ("sub-01_T1w", "sub-02_T1w"):
        fakes.write_head(tmp_path / "raw" / name[:6] / "anat" / f"{name}.nii.gz")
    broken = tmp_path / "raw/sub-03/anat/sub-03_FLAIR.nii.gz"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"x")
    return tmp_path / "raw"


def app(raw, out, *words):
    return subprocess.run(
        [sys.executable, PROGRAM, raw, out, "participant", *words],
        env=os.environ | {"FAKE": "bids"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_two_processes_write_what_one_does(raw, tmp_path):
    """All volumes bit by bit; sessions follow their scans."""
    many, one = tmp_path / "many", tmp_path / "one"
    done = app(raw, many, "--mem", "9G", "--n-cpus", "2")
    assert done.returncode == 65, done.stderr
    assert "2 processes, 1 thread each (of 2)" in done.stderr
    assert "1 of 6 scans failed" in done.stderr
    assert app(raw, one).returncode == 65
    volumes = sorted(path.relative_to(one) for path in one.rglob("*.nii.gz"))
    assert volumes == sorted(path.relative_to(many) for path in many.rglob("*.nii.gz"))
    assert Path("sub-01/anat/sub-01_label-L_probseg.nii.gz") in volumes
    assert all((one / v).read_bytes() == (many / v).read_bytes() for v in volumes)
    assert (many / "logs/sub-03_FLAIR.json").is_file()


def test_a_task_for_elsewhere_names_whole_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = SessionTask(DetectConfig(), Path("out"), Path("raw"), False).anywhere()
    assert (task.output, task.source) == (tmp_path / "out", tmp_path / "raw")


def test_no_weights_are_loaded_where_no_scan_is_to_do(monkeypatch):
    monkeypatch.setattr("anatomaly.cli.session_task.load_weights", lambda _: pytest.fail("loaded"))
    assert callable(SessionTask(DetectConfig(), Path("out"), Path("raw"), False).load())
