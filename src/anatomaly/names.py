r"""File names as text: a name on disk is bytes, and not every one of them is a letter.

Python keeps bytes that it cannot read as lone surrogates. They open the file again, but no UTF-8
file and no terminal takes them: what is written or printed goes through here, paths that are opened
do not.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def shown(name: str | os.PathLike[str]) -> str:
    r"""Return a path or a name as one line of text that every file and table can hold.

    Bytes that are no UTF-8, tabs and line ends are written as `\xNN`.

    >>> shown("Sch\udce4del_FLAIR"), shown("Sch\udcc3\udca4del"), shown("two\nlines")
    ('Sch\\xe4del_FLAIR', 'Schädel', 'two\\x0alines')
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", writable(os.fspath(name)))


def writable(text: str) -> str:
    r"""Return text that UTF-8 can write; only what it cannot is changed.

    >>> writable("tab\t and \udce4"), writable("Größe")
    ('tab\t and \\xe4', 'Größe')
    """
    if text.isascii():
        return text
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character of Windows
        raw = text.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def path_of(text: str) -> Path:
    """Return the path that `shown` wrote, to be opened on this machine."""
    raw = text.encode("utf-8", "surrogateescape")
    path = Path(os.fsdecode(raw))
    if path.exists() or not _ESCAPE.search(raw):
        return path
    return Path(os.fsdecode(_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), raw)))
