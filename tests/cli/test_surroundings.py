"""Signals end a program in order: nothing of a patient stays, no child goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from anatomaly.cli.surroundings import surroundings

PROGRAM = """
import subprocess, sys
from pathlib import Path
from anatomaly.cli.surroundings import surroundings
from anatomaly.scan.write import output_folder
from anatomaly.temporary import temporary_folder
root = Path(sys.argv[1])
with surroundings():
    with output_folder(root / "out" / "scan") as out, temporary_folder() as folder:
        (out / "lesions.tsv").write_text("half")
        (folder / "brain.nii").write_text("a patient")
        child = "import sys, time, os; open(sys.argv[1], 'w').write(str(os.getpid()));"
        child += "time.sleep(60)"
        subprocess.run([sys.executable, "-c", child, str(root / "child")], capture_output=True)
"""


@pytest.fixture(name="start")
def fixture_start(tmp_path: Path):
    """Start the program above; it is at work when this returns."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    started = []

    def start(ignored: signal.Signals | None = None) -> tuple[subprocess.Popen[str], int]:
        (tmp_path / "child").unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            env=os.environ | {"TMPDIR": str(temporary)},
            stderr=subprocess.PIPE,
            encoding="utf-8",
            preexec_fn=lambda: _set_signals(ignored),
        )
        started.append(process)
        deadline = time.monotonic() + 60
        while not (child := _read(tmp_path / "child")) and time.monotonic() < deadline:
            time.sleep(0.02)
        return process, int(child)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def _set_signals(ignored: signal.Signals | None) -> None:
    """Start as from a terminal: tests that run in the background inherit ignored signals."""
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN if each == ignored else signal.SIG_DFL)


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


def _is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_leaves_nothing_behind(start, tmp_path: Path, name: str):
    process, child = start()
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + getattr(signal, name)
    assert f"stopped by {name}" in said
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["child", "tmp"]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not _is_running(child)


def test_what_a_kill_left_goes_when_the_next_run_starts(start, tmp_path: Path):
    process, child = start()
    process.kill()
    process.wait()
    (left,) = (tmp_path / "tmp").iterdir()
    assert (left / "brain.nii").is_file()
    os.kill(child, signal.SIGKILL)
    process, _ = start()
    assert left not in list((tmp_path / "tmp").iterdir())
    process.terminate()
    process.communicate(timeout=120)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_a_program_that_was_told_to_outlive_its_terminal_does(start, tmp_path: Path):
    process, child = start(ignored=signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    os.kill(child, signal.SIGKILL)


def test_handlers_are_as_before_afterwards_and_threads_set_none():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    seen = []

    def enter() -> None:
        with surroundings():
            seen.append([signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)])

    enter()
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen[0] != before
    assert seen[1] == before


def run_where_only_ascii_is(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    bare = {"PATH": os.environ["PATH"], "LC_ALL": "POSIX", "PYTHONUTF8": "0"}
    bare |= {"PYTHONCOERCECLOCALE": "0", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return subprocess.run([sys.executable, *arguments], env=bare, capture_output=True, check=False)


@pytest.mark.parametrize("command", [["anatomaly.cli.main", "--help"], ["anatomaly.cli.main"]])
def test_help_is_printed_where_only_ascii_is(command: list[str]):
    done = run_where_only_ascii_is("-m", *command)
    assert b"Traceback" not in done.stderr
    assert b"detect" in done.stdout + done.stderr
    (done.stdout + done.stderr).decode("ascii")


def test_text_beyond_ascii_is_escaped_where_it_cannot_be_printed():
    program = (
        "from anatomaly.cli.surroundings import surroundings\n"
        "with surroundings():\n    print('10 mm\\xb3 \\u2192 \\udce4')\n"
    )
    done = run_where_only_ascii_is("-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == rb"10 mm\xb3 \u2192 \udce4" + b"\n"


def test_a_program_whose_streams_were_closed_works():
    command = f"{sys.executable} -m anatomaly.cli.main info >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
