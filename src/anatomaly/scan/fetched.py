"""Files that a version control system keeps elsewhere: their place holds a link or a pointer.

git-annex (DataLad) leaves a link into `.git/annex/objects`, or a line of text where links do not
work; git-lfs leaves three lines. A program that opens them finds nothing, or no image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from anatomaly.errors import ScanError

_LONGEST_POINTER = 1024
_SIGNS = {
    "git-annex": re.compile(r"\S*[\\/]annex[\\/]objects[\\/]\S+\s*$"),
    "git-lfs": re.compile(r"version https?://(git-lfs|hawser|git-media)\S*\s"),
}
_NOT_FETCHED = {
    "git-annex": "not fetched, git-annex keeps the content elsewhere; run `datalad get` (or "
    "`git annex get`) first",
    "git-lfs": "not fetched, git-lfs keeps the content elsewhere; run `git lfs pull` first",
}


def refuse_unfetched(path: Path) -> None:
    """Refuse a file whose content is not here, and a link to nothing.

    Raises:
        ScanError: it is one.
    """
    system = _system(path)
    if system:
        raise ScanError(f"{path}: {_NOT_FETCHED[system]}")
    if path.is_symlink() and not path.exists():
        raise ScanError(
            f"{path}: a link to {path.readlink()}, where nothing is; mend the link or give the "
            "file itself"
        )


def refuse_partly_fetched(folder: Path, files: Sequence[Path]) -> None:
    """Refuse a series of which a part is not here: slices would be missing in silence.

    Raises:
        ScanError: the content of a file is elsewhere.
    """
    absent = [path for path in files if _system(path)]
    if absent:
        raise ScanError(
            f"{folder}: {len(absent)} of {len(files)} files, for example {absent[0].name}: "
            f"{_NOT_FETCHED[_system(absent[0])]}"
        )


def is_unfetched(path: Path) -> bool:
    """Return whether there is no content: elsewhere, or behind a link to nothing."""
    return bool(_system(path)) or (path.is_symlink() and not path.exists())


def _system(path: Path) -> str:
    """Return which system keeps the content of a file elsewhere; empty where it is here."""
    try:
        if path.is_symlink() and not path.exists():
            said = str(path.readlink())
        elif path.is_file() and path.stat().st_size <= _LONGEST_POINTER:
            said = path.read_bytes().decode("utf-8", "replace")
        else:
            return ""
    except OSError:
        return ""
    return next((name for name, pattern in _SIGNS.items() if pattern.match(said)), "")
