"""Locks on folders, which die with their process: who works in one, and who may change one now."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anatomaly.systems import fcntl

STALE_SECONDS = 86_400.0
"""Where locks do not work, an unfinished folder counts as left behind after this time."""
_EMPTY_STALE_SECONDS = 60.0
_PATIENCE_SECONDS = 30.0


def hold_lock(folder: Path) -> int | None:
    """Lock a folder for the life of this process.

    Returns:
        A file descriptor (os.close it to let go), or None where another process holds the lock or
        the file system has none.
    """
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def is_stale(folder: Path) -> bool:
    """Return whether nobody works in an unfinished folder: its lock is free.

    However old it is: a job may have been suspended. Age tells only where it cannot be locked.
    """
    try:
        age = time.time() - folder.stat().st_mtime
        if age < _EMPTY_STALE_SECONDS and not any(folder.iterdir()):
            return False  # its owner may be about to lock it
    except OSError:
        return False
    try:
        handle = hold_lock(folder)
        if handle is not None:
            os.close(handle)
            return True
        held = fcntl is not None and _is_held(folder)
    except OSError:
        held = False
    return not held and age > STALE_SECONDS


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes of ours from changing a folder, for the moment of a few renames.

    Goes on without the lock where the file system has none, or where somebody holds it for long.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (lock := hold_lock(folder)) is None and fcntl is not None:
        if not _is_held(folder) or time.monotonic() > deadline:
            break
        time.sleep(0.005)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _is_held(folder: Path) -> bool:
    """Return whether another process holds the lock; no where the file system has none."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return True  # it was let go just now
