"""Which unfinished folders still have an owner: a lock on the folder dies with its process."""

from __future__ import annotations

import os
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows: there only age tells a stale folder
    fcntl = None  # type: ignore[assignment]

STALE_SECONDS = 86_400.0
"""Where locks do not work, an unfinished folder counts as left behind after this time."""
_EMPTY_STALE_SECONDS = 60.0


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
    """Return whether nobody works in an unfinished folder: not locked, or a day old."""
    try:
        age = time.time() - folder.stat().st_mtime
        if age > STALE_SECONDS:
            return True
        if age < _EMPTY_STALE_SECONDS and not any(folder.iterdir()):
            return False  # its owner may be about to lock it
        handle = hold_lock(folder)
    except OSError:
        return False
    if handle is None:
        return False
    os.close(handle)
    return True
