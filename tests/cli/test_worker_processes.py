"""Processes beside this one: what dies costs its own scan alone, and nothing stays behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anatomaly.cli.progress import Display
from anatomaly.cli.run_scans import run_scans
from anatomaly.cli.work import Job
from anatomaly.cli.worker_processes import WorkerProcesses, why_it_failed
from anatomaly.errors import WeightsError, WorkerError

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from anatomaly.cli.progress import Display
from anatomaly.cli.run_scans import run_scans
from anatomaly.cli.surroundings import surroundings
from anatomaly.cli.work import Job
from anatomaly.cli.worker_processes import WorkerProcesses
from anatomaly.config import DetectConfig
if __name__ == "__main__":
    from stand_in_task import StandIn
    root = Path(sys.argv[2])
    task = StandIn(DetectConfig(), root / "out", root / "log")
    jobs = [Job(name, Path(name)) for name in ("good", "slow_1", "slow_2", "next")]
    with surroundings(), Display(4) as display, WorkerProcesses(task, (1, 1)) as engine:
        run_scans(jobs, engine, display)
"""


def run_of(out: Path, name: str) -> dict:
    return json.loads((out / name / "run.json").read_text())


def test_processes_that_die_cost_their_own_scan_alone(stand_in, starts, run_all, tmp_path, capsys):
    names = ["kills_once", "one", "broken", "crashes", "bug", *"abcdef"]
    with Display(len(names)):
        ended = run_all(WorkerProcesses(stand_in(), (2, 1)), *names)
    failed = {name: outcome.kind for name, outcome in ended.items() if outcome.kind}
    expected = {"broken": "ScanError", "bug": "ZeroDivisionError", "crashes": "WorkerError"}
    assert failed == expected
    assert ended["crashes"].reason.startswith("the process that did it died 2 times (SIGSEGV)")
    assert [starts(name) for name in ("kills_once", "crashes", "one", "broken", "a")] == [
        2, 2, 1, 1, 1,
    ]  # fmt: skip
    assert 4 <= starts("load") <= 5  # a fresh process for each that died while others waited
    made = [run_of(tmp_path / "out", name) for name in names if name not in expected]
    assert {tuple(run["threads"]) for run in made} == {("2", 2), ("1", 1)}
    assert os.getpid() not in {run["pid"] for run in made}
    said = capsys.readouterr().err
    assert "kills_once: its process died (SIGKILL); it is tried once more later" in said
    assert "/11] one: prepare" in said or "one: prepare" in said
    assert "ZeroDivisionError: division by zero" in ended["bug"].trace


def test_records_and_warnings_come_with_the_name_of_their_scan(stand_in, run_all, capsys):
    with Display(2):
        ended = run_all(WorkerProcesses(stand_in(), (1, 1)), "doubtful", "good")
    assert ended["doubtful"].warnings == ("registration is poor",)
    assert "doubtful: mask is small" in capsys.readouterr().err


def test_missing_weights_stop_before_the_first_scan(stand_in):
    engine = WorkerProcesses(stand_in(weights="missing"), (1, 1))
    with pytest.raises(WeightsError, match="no weights called missing"), engine:
        pass
    assert engine._workers == []


def test_processes_that_cannot_start_are_told_of(stand_in):
    with (
        pytest.raises(WorkerError, match="could be started: SIGKILL"),
        WorkerProcesses(stand_in(weights="deadly"), (1, 1)),
    ):
        pass


def test_what_no_process_is_left_for_is_told_of_too(stand_in, tmp_path, capsys):
    """After the first load the weights are gone, so no fresh process can take over."""
    task = stand_in(weights="once")
    jobs = (Job(name, Path(name)) for name in ("good", "kills_ever", "never"))
    with Display(3) as display, WorkerProcesses(task, (1,)) as engine:
        failures = run_scans(jobs, engine, display)
    assert [failure.scan.name for failure in failures] == ["kills_ever", "never"]
    assert {failure.kind for failure in failures} == {"WorkerError"}
    assert "not done: no process for scans is left: they are gone" in failures[1].reason
    assert (tmp_path / "out" / "good" / "run.json").is_file()


def test_the_sentence_says_what_to_do():
    assert "fewer --jobs" in why_it_failed("SIGKILL")
    assert "with --verbose" in why_it_failed("status 3")


@pytest.fixture(name="program")
def fixture_program(tmp_path):
    """Start the program above; both processes are at a slow scan when this returns."""
    for name in ("log", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "program.py", Path(__file__).parent, tmp_path],
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "tmp").iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [int(file.name.split(".")[1]) for file in (tmp_path / "log").glob("load.*")]
    yield process, workers
    if process.poll() is None:
        process.kill()
    process.communicate()


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("way", ["terminal", "scheduler"])
def test_a_signal_ends_all_in_order(program, tmp_path, way):
    process, workers = program
    assert len(workers) == 2
    if way == "terminal":  # Ctrl-C reaches every process of the terminal
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, said = process.communicate(timeout=60)
    number = signal.SIGINT if way == "terminal" else signal.SIGTERM
    assert process.returncode == 128 + number
    assert f"stopped by {number.name}" in said
    assert "Traceback" not in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not any(is_running(pid) for pid in workers)
