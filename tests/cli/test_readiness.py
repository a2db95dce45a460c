"""What can fail late is tried before the work, and each refusal says what to set or to free."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from anatomaly.cli import readiness
from anatomaly.cli.progress import Display
from anatomaly.cli.readiness import make_ready, use_temporary
from anatomaly.errors import ConfigError, OutputError
from anatomaly.temporary import PREFIX

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(name="root")
def fixture_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders, one for results and one for files in between."""
    for name in ("out", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    return tmp_path


@pytest.fixture(name="free_mb")
def fixture_free_mb(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Free space by the name of a folder."""
    free: dict[str, float] = {"out": 1e6, "tmp": 1e6}

    def usage(path: Path) -> Usage:
        megabytes = next((free[p.name] for p in (path, *path.parents) if p.name in free), 1e6)
        return Usage(1e12, 0, megabytes * 1e6)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return free


@pytest.fixture(name="at_exit")
def fixture_at_exit(monkeypatch: pytest.MonkeyPatch) -> list:
    """What is to be done when the program ends."""
    jobs: list = []
    monkeypatch.setattr(readiness.atexit, "register", jobs.append)
    return jobs


def test_a_machine_that_is_ready_is_left_as_it_was(root: Path, capsys):
    make_ready(root / "out" / "deep" / "er", Display(1))
    assert capsys.readouterr().err == ""
    assert [list((root / name).iterdir()) for name in ("out", "tmp")] == [[], []]


def test_without_a_temporary_folder_one_beside_the_results_serves(
    root: Path, at_exit: list, monkeypatch: pytest.MonkeyPatch, capsys
):
    def none() -> str:
        raise FileNotFoundError("no usable temporary directory")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "gettempdir", none)
        make_ready(root / "new" / "out", Display(1))
    place = Path(tempfile.gettempdir())
    assert place.parent == root / "new" / "out"
    assert place.name.startswith(f".{PREFIX}")
    assert os.environ["TMPDIR"] == str(place), "programs that we start look there"
    said = capsys.readouterr().err
    assert "set TMPDIR to a folder" in said
    assert f"hidden folder in {root / 'new' / 'out'}" in said
    at_exit[0]()
    assert not (root / "new").exists()


def test_results_in_the_folder_outlive_the_hidden_one(
    root: Path, at_exit: list, free_mb: dict[str, float], capsys
):
    free_mb["tmp"] = 12
    make_ready(root / "out" / "mine", Display(1))
    assert "only 12 MB" in capsys.readouterr().err
    (root / "out" / "mine" / "scan").mkdir()
    at_exit[0]()
    assert [path.name for path in (root / "out" / "mine").iterdir()] == ["scan"]


@pytest.mark.parametrize(
    ("out", "tmp", "said"),
    [
        (3, 1e6, r"only 3.0 MB are free at .*out, .*free some space or choose another"),
        (100, 20, r"only 20 MB are free in the temporary folder .*set TMPDIR"),
    ],
)
def test_a_disk_without_room_is_refused(root, free_mb, out: float, tmp: float, said: str):
    free_mb |= {"out": out, "tmp": tmp}
    with pytest.raises(OutputError, match=said):
        make_ready(root / "out", Display(1))
    assert list((root / "out").iterdir()) == []


def test_little_room_that_may_do_is_not_refused(root: Path, free_mb: dict[str, float]):
    free_mb |= {"out": 20, "tmp": 60}
    make_ready(root / "out", Display(1))


def test_a_tmpdir_that_cannot_be_used_is_told(root: Path, monkeypatch, capsys):
    monkeypatch.setenv("TMPDIR", "/no/such/folder")
    make_ready(root / "out", Display(1))
    assert (
        f"TMPDIR is /no/such/folder, where nothing can be written: files in between go to "
        f"{root / 'tmp'}" in capsys.readouterr().err
    )


def test_pictures_that_cannot_be_drawn_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match="pictures need matplotlib"):
        make_ready(root / "out", Display(1))


def test_a_folder_for_files_in_between_can_be_named(root: Path):
    use_temporary(root / "work" / "mine")
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(root / "work" / "mine")
    (root / "file").touch()
    with pytest.raises(OutputError, match="cannot write to"):
        use_temporary(root / "file")


def test_the_hidden_folder_goes_when_the_program_does(tmp_path: Path):
    program = (
        "import sys, tempfile\nfrom pathlib import Path\n"
        "from anatomaly.cli.progress import Display\nfrom anatomaly.cli import readiness\n"
        "out = Path(sys.argv[1])\n"
        "readiness._use_output(out, 'no room', Display(1))\n"
        "Path(tempfile.gettempdir(), 'brain.nii').touch()\nassert len(list(out.iterdir())) == 1\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []
