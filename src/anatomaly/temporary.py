"""Folders for files in between: private, locked while in use, removed whatever happens.

What lies in them is a patient's head. A run that was killed cannot clean up, so the next one does:
the lock on a folder dies with its process, and a folder of ours that nobody holds is removed.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anatomaly.errors import OutputError
from anatomaly.leftovers import hold_lock, is_stale
from anatomaly.systems import is_of_this_user, temporary_places

PREFIX = "anatomaly-temporary-"
"""Distinctive, because what starts with it and is nobody's is removed."""

_OURS = re.compile(rf"\.?{PREFIX}[a-z0-9_]{{8}}")
"""Hidden where the folder lies beside results."""

_PRIVATE = 0o700
_EARLIER = re.compile(r"anatomaly-[a-z0-9_]{8}")
_EARLIER_DICOM = re.compile(r"anatomaly_dicom_\w+")
_EARLIER_FILES = {
    "moving.nii", "target.nii", "out.nii", "affine.json", "scan.nii", "mask.nii", "field.nii",
    "corrected.nii",
}  # fmt: skip
_EARLIER_PAIRS = ({"moving.nii", "target.nii"}, {"scan.nii", "mask.nii"})
"""Versions before this one took names that a user may take too: what lies in them must tell."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder that only this user can read; it is gone after the block.

    Raises:
        OutputError: no temporary folder can be written.
    """
    root = temporary_root()
    remove_leftovers(root)
    folder = make_temporary(root)
    lock = hold_lock(folder)
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except BaseException:  # a signal ends the program just now
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            if lock is not None:
                os.close(lock)


def temporary_root() -> Path:
    """Return the folder that holds temporary folders: TMPDIR, else what the system has.

    Raises:
        OutputError: none can be written.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        named = os.environ.get("TMPDIR")
        raise OutputError(
            "no temporary folder can be written (tried "
            f"{f'TMPDIR, which is {named}, and ' if named else ''}{temporary_places()}); set "
            "TMPDIR to a folder that you may write to, with some 500 MB of free space"
        ) from error


def make_temporary(root: Path, hidden: bool = False) -> Path:
    """Make a folder of our name; whoever calls this removes it.

    Args:
        root: exists.
        hidden: whether its name starts with a dot.

    Raises:
        OutputError: the root cannot be written, is full or is gone.
    """
    try:
        return Path(tempfile.mkdtemp(prefix="." * hidden + PREFIX, dir=root))
    except OSError as error:
        raise OutputError(
            f"the temporary folder {root} cannot be written ({error.strerror}); free some space "
            "there, or set TMPDIR to another folder"
        ) from error


def remove_leftovers(root: Path) -> None:
    """Remove what killed runs of this user left in a folder; what is in use stays."""
    with suppress(OSError):
        for entry in list(root.iterdir()):
            is_named_so = entry.name.lstrip(".").startswith("anatomaly")
            if is_named_so and _is_ours(entry) and is_stale(entry):
                shutil.rmtree(entry, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Return whether a folder has our name and this user's hand, and is no link to another."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            return False
        status = folder.stat()
        if not is_of_this_user(status):
            return False
        if _OURS.fullmatch(folder.name):
            return True
        held = {entry.name for entry in folder.iterdir()}
    except OSError:
        return False
    if _EARLIER_DICOM.fullmatch(folder.name):
        return all(name.startswith("series_") for name in held)
    is_private = stat.S_IMODE(status.st_mode) == _PRIVATE
    is_known = held <= _EARLIER_FILES and any(pair <= held for pair in _EARLIER_PAIRS)
    return bool(_EARLIER.fullmatch(folder.name)) and is_private and is_known
