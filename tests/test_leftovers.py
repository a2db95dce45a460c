"""Unfinished folders: in use while a process holds the lock, left behind afterwards."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import ModuleType

import pytest

from anatomaly import leftovers
from anatomaly.leftovers import hold_lock, is_stale


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    (tmp_path / "half.nii").write_text("x")
    return tmp_path


def test_locked_folder_is_in_use_until_the_lock_goes(unfinished: Path):
    lock = hold_lock(unfinished)
    assert lock is not None
    assert hold_lock(unfinished) is None
    assert not is_stale(unfinished)
    os.close(lock)
    assert is_stale(unfinished)


def test_a_locked_folder_is_in_use_however_old(unfinished: Path):
    """A job may have been suspended for days."""
    lock = hold_lock(unfinished)
    os.utime(unfinished, (time.time() - 900_000, time.time() - 900_000))
    assert lock is not None
    assert not is_stale(unfinished)
    os.close(lock)
    assert is_stale(unfinished)


@pytest.mark.parametrize(("age", "stale"), [(10, False), (90_000, True)])
@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        pytest.param(leftovers.os, "open", PermissionError(13, "denied"), id="not ours"),
        pytest.param(leftovers.fcntl, "flock", OSError(95, "not supported"), id="no locks"),
    ],
)
def test_age_decides_where_a_folder_cannot_be_locked(
    unfinished: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    error: OSError,
    age: float,
    stale: bool,
):
    def refuse(*_: object) -> None:
        raise error

    os.utime(unfinished, (time.time() - age, time.time() - age))
    monkeypatch.setattr(module, name, refuse)
    assert is_stale(unfinished) is stale


def test_fresh_empty_folder_is_given_time_to_be_locked(tmp_path: Path):
    assert not is_stale(tmp_path)
    os.utime(tmp_path, (time.time() - 100, time.time() - 100))
    assert is_stale(tmp_path)


@pytest.mark.parametrize(("age", "stale"), [(10, False), (90_000, True)])
def test_age_decides_where_there_are_no_locks(
    unfinished: Path, monkeypatch: pytest.MonkeyPatch, age: float, stale: bool
):
    monkeypatch.setattr(leftovers, "fcntl", None)
    os.utime(unfinished, (time.time() - age, time.time() - age))
    assert is_stale(unfinished) is stale


def test_vanished_folder_is_nobodys_business(tmp_path: Path):
    assert not is_stale(tmp_path / "gone")
