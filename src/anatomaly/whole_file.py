"""A file appears whole or not at all."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

_OLD_SECONDS = 86_400.0


@contextmanager
def whole_file(path: Path, several: bool = False) -> Iterator[Path]:
    """Yield a hidden name beside `path`; what the block writes there takes its place at the end.

    When the block fails, what it wrote is removed and an older file at `path` is as it was. What a
    killed process left under the hidden name is written over by the next one (if `several`, it is
    removed when it is a day old).
    NIfTI files have writers of their own in `scan`: they need an ending, or tell a full disk.

    Args:
        path: of the file; its folder exists.
        several: whether processes may write this file at the same time; each then has a hidden
            name of its own.

    Raises:
        OSError: the file cannot be renamed.
    """
    token = f".{secrets.token_hex(4)}" if several else ""
    temporary = path.with_name(f".{path.name}{token}.part")
    for left in path.parent.glob(f".{escape(path.name)}.*.part") if several else ():
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _OLD_SECONDS:
                left.unlink()
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
