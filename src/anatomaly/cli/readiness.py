"""What can fail late is tried before the work starts: places to write to, space, figures."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from anatomaly.cli.progress import Display
from anatomaly.errors import ConfigError, OutputError
from anatomaly.leftovers import hold_lock
from anatomaly.names import shown
from anatomaly.temporary import make_temporary, remove_leftovers, temporary_root

RESULT_MB = 5
"""Less than any result with its page takes (5 to 60 MB)."""
TEMPORARY_MB, AMPLE_MB = 50, 250
"""Less than registration takes; and what a scan of 1 mm takes, with some to spare."""


def make_ready(output: Path, display: Display) -> None:
    """Check what the work needs, before minutes are spent; leaves nothing behind.

    Where no temporary folder can be used, a hidden one in `output` serves until the program ends.

    Args:
        output: folder that results go to; it need not exist.
        display: tells where files in between go if not to where they usually do.

    Raises:
        OutputError: `output` cannot be written, or nearly no space is left.
        ConfigError: figures cannot be drawn.
    """
    check_writable(output)
    free = _free_mb(output)
    if free < RESULT_MB:
        raise OutputError(
            f"only {free:.1f} MB are free at {shown(output)}, and a result takes 5 to 60 MB; free "
            "some space or choose another output folder"
        )
    settle_temporary(output, display)
    from anatomaly.report.drawing import import_matplotlib

    try:
        import_matplotlib()
    except Exception as error:
        raise ConfigError(
            f"pictures need matplotlib, which cannot be used here ({error}); install it again: "
            "pip install --force-reinstall matplotlib"
        ) from error


def settle_temporary(output: Path, display: Display) -> None:
    """See that files in between have a place; a hidden folder in `output` if there is no other.

    Raises:
        OutputError: there is none.
    """
    own_folder = os.environ.get("TMPDIR")
    try:
        root = temporary_root()
        make_temporary(root).rmdir()
    except OutputError as error:
        _use_output(output, str(error), display)
        return
    remove_leftovers(root)
    remove_leftovers(output)
    free = _free_mb(root)
    if free < AMPLE_MB and _free_mb(output) > AMPLE_MB:
        _use_output(output, f"{shown(root)} has only {free:.0f} MB of free space", display)
    elif free < TEMPORARY_MB:
        raise OutputError(
            f"only {free:.0f} MB are free in the temporary folder {shown(root)}, and a scan needs "
            f"{TEMPORARY_MB} to {AMPLE_MB} MB there; free some, or set TMPDIR to another folder"
        )
    elif own_folder and Path(own_folder).absolute() != root.absolute():
        display.line(
            f"TMPDIR is {shown(own_folder)}, where nothing can be written: files in between go to "
            f"{shown(root)}",
            style="yellow",
        )


def use_temporary(folder: Path) -> None:
    """Let files in between go to a folder, those of other programs too; it is made if missing.

    Raises:
        OutputError: it cannot be written.
    """
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder.absolute())
    remove_leftovers(folder)


def check_writable(output: Path) -> None:
    """Refuse an output folder that cannot be written, before minutes are spent.

    Leaves nothing behind: a folder made for the test is removed again.

    Raises:
        OutputError: it cannot be made or written, or is a file.
    """
    missing = _missing(output)
    probe = output / f".anatomaly-{time.time_ns()}"
    try:
        for attempt in range(3):
            output.mkdir(parents=True, exist_ok=True)
            try:
                probe.touch()
            except FileNotFoundError:  # another job's test has just removed the folder
                if attempt == 2:
                    raise
            else:
                break
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot write to {shown(output)} ({error.strerror}); choose another folder"
        ) from error
    finally:
        _remove_empty(missing)


def _missing(folder: Path) -> list[Path]:
    """Return those of a folder and its parents that are not there, the innermost first."""
    return [place for place in (folder, *folder.parents) if not place.exists()]


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders that were made on trial; another job, or a result, may be in them by now."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _use_output(output: Path, why: str, display: Display) -> None:
    """Let files in between go to a hidden folder in the output until the program ends."""
    missing = _missing(output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        remove_leftovers(output)
        folder = make_temporary(output, hidden=True)
    except OSError as error:
        raise OutputError(f"{why}; nor can {shown(output)} be written") from error
    lock = hold_lock(folder)
    earlier = tempfile.tempdir
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder.absolute())
    display.line(
        f"{why}; this time files in between go to a hidden folder in {shown(output)}",
        style="yellow",
    )

    def end() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        tempfile.tempdir = earlier
        if lock is not None:
            os.close(lock)
        _remove_empty(missing)

    atexit.register(end)


def _free_mb(folder: Path) -> float:
    """Return the free space where a folder lies or will lie, in MB; plenty where nobody knows."""
    with suppress(StopIteration, OSError):
        place = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        usage = shutil.disk_usage(place)
        if usage.total:
            return usage.free / 1e6
    return float("inf")
