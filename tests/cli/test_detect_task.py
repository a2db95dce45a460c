"""`anatomaly detect` over processes and over Dask writes what one process does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anatomaly.cli.detect_task import DetectTask
from anatomaly.cli.work import Job
from anatomaly.config import DetectConfig

PROGRAM = Path(__file__).with_name("fake_program.py")
SCANS = [f"{name}.nii.gz" for name in ("one", "broken", "bug", "doubtful", "two")]


def detect(folder, *words):
    return subprocess.run(
        [sys.executable, PROGRAM, "detect", *SCANS, "-o", "out", *words],
        env=os.environ | {"FAKE": "detect", "COLUMNS": "200"},
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("engine", ["processes", pytest.param("dask", marks=pytest.mark.slow)])
def test_engines_say_and_leave_the_same(run, fake, tmp_path, monkeypatch, engine):
    words = ["--jobs", "2", "--threads", "2"]
    if engine == "dask":
        pytest.importorskip("distributed")
        (tmp_path / "two.yaml").write_text("class: LocalCluster\nworkers: 2\n")
        words = ["--engine", "dask", "--cluster", "two.yaml"]
    done = detect(tmp_path, *words)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    alone = run("detect", *SCANS, "-o", "out")
    assert (done.returncode, alone.exit_code) == (1, 1), done.stderr
    for name in ("failures.tsv", "one/run.json", "doubtful/run.json", "two/run.json"):
        ours, theirs = ((place / "out" / name).read_text() for place in (Path(), tmp_path))
        assert ours.replace(str(Path().absolute()), "") == theirs.replace(f"{tmp_path}/", "")
    listed = [sorted(p.name for p in (place / "out").iterdir()) for place in (Path(), tmp_path)]
    assert listed[0] == listed[1]
    assert "Traceback" not in done.stderr
    for line in (
        "doubtful: warning: registration is poor",
        "5 scans: 3 with a result, 1 of them with warnings; 2 failed",
        "2 of 5 scans failed",
    ):
        assert line in done.stderr and line in alone.stderr
    again = detect(tmp_path, *words, "--skip-finished", "--quiet")
    assert again.returncode == 1
    assert "one" not in again.stderr.replace("no [such] scan", "").split("scans failed")[0]


def test_wrong_options_are_2_and_run_nothing(run, fake, tmp_path):
    for words in (["--jobs", "none"], ["--engine", "dask"], ["--scheduler", "tcp://a:1"]):
        assert run("detect", "a.nii.gz", "-o", tmp_path / "out", *words).exit_code == 2
    assert fake.seen == [] and list(tmp_path.iterdir()) == []


def test_a_scan_is_detected_and_saved(fake, tmp_path):
    do = DetectTask(DetectConfig(), tmp_path, frozenset({"lesions"})).load()
    done = do(Job("mine", Path("doubtful.nii.gz")))
    assert done.said == f"T1w, 2 lesions, 1.8 mL -> {tmp_path / 'mine'}"
    assert done.warnings == ("registration is poor",)
    assert (tmp_path / "mine" / "run.json").read_text() == "['lesions']"
