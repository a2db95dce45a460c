"""Temporary folders: gone after every kind of end; what killed runs left goes too."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from anatomaly.errors import OutputError
from anatomaly.leftovers import hold_lock
from anatomaly.temporary import PREFIX, make_temporary, temporary_folder


@pytest.fixture(name="root")
def fixture_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_by_a_killed_run(path: Path, *files: str, mode: int = 0o700) -> Path:
    path.mkdir(mode=mode)
    for name in files or ("moving.nii",):
        (path / name).write_text("a patient")
    return path


@pytest.mark.parametrize("end", [None, ValueError, SystemExit, KeyboardInterrupt])
def test_the_folder_goes_however_the_block_ends(root: Path, end: type[BaseException] | None):
    def work() -> None:
        with temporary_folder() as folder:
            assert list(root.iterdir()) == [folder]
            assert folder.stat().st_mode & 0o077 == 0, "others could read a patient's brain"
            (folder / "deep").mkdir()
            (folder / "deep" / "brain.nii").write_text("a patient")
            if end:
                raise end

    if end:
        with pytest.raises(end):
            work()
    else:
        work()
    assert list(root.iterdir()) == []


def test_a_signal_during_the_removal_does_not_stop_it(root: Path, monkeypatch: pytest.MonkeyPatch):
    import shutil

    remove, calls = shutil.rmtree, []

    def interrupted(path: Path, **options: bool) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise SystemExit(143)
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(SystemExit), temporary_folder():
        pass
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "files"),
    [
        (f"{PREFIX}abc_1234", ("moving.nii", "anything")),
        (f".{PREFIX}abc_1234", ("scan.nii",)),
        ("anatomaly_dicom_x1y2z3w4", ("series_1.nii",)),
        ("anatomaly-abc_1234", ("moving.nii", "target.nii")),
        ("anatomaly-abc_1234", ("scan.nii", "mask.nii", "field.nii")),
    ],
)
def test_what_a_killed_run_left_goes_at_the_next(root: Path, name: str, files: tuple[str, ...]):
    left = left_by_a_killed_run(root / name, *files)
    with temporary_folder():
        assert not left.exists()


def test_what_is_in_use_stays(root: Path):
    running = left_by_a_killed_run(root / f"{PREFIX}abc_1234")
    lock = hold_lock(running)
    assert lock is not None
    with temporary_folder():
        assert running.exists()
    os.close(lock)
    with temporary_folder():
        assert not running.exists()


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("anatomaly-results1", ("report.html",)),
        ("anatomaly-analysis", ("moving.nii",)),
        ("anatomaly-research", ("scan.nii", "mask.nii", "notes.txt")),
        ("anatomaly-analyse", ("scan.nii", "mask.nii")),
        (f"{PREFIX}of my own", ("moving.nii",)),
        ("anatomaly", ("run.json",)),
        ("anatomaly_dicom_results", ("lesions_seg.dcm",)),
    ],
)
def test_a_folder_of_the_user_is_never_taken_for_ours(
    root: Path, name: str, files: tuple[str, ...]
):
    own = left_by_a_killed_run(root / name, *files, mode=0o755)
    with temporary_folder():
        pass
    assert sorted(path.name for path in own.iterdir()) == sorted(files)


def test_a_link_with_our_name_is_not_followed(root: Path, tmp_path_factory: pytest.TempPathFactory):
    elsewhere = left_by_a_killed_run(tmp_path_factory.mktemp("x") / "mine", "thesis.txt")
    (root / f"{PREFIX}abc_1234").symlink_to(elsewhere)
    with temporary_folder():
        pass
    assert (elsewhere / "thesis.txt").is_file()


def test_no_temporary_folder_at_all_says_what_to_set(monkeypatch: pytest.MonkeyPatch):
    def none() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    said = r"TMPDIR, which is /nowhere.*set TMPDIR to a folder"
    with pytest.raises(OutputError, match=said), temporary_folder():
        pass


def test_a_temporary_folder_that_is_gone_says_what_to_set(tmp_path: Path):
    with pytest.raises(OutputError, match=r"cannot be written.*set TMPDIR to another folder"):
        make_temporary(tmp_path / "gone")
