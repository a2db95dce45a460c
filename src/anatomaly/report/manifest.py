"""The run manifest: what was computed from what, with what, and how long it took."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from anatomaly.errors import OutputError
from anatomaly.names import shown, writable
from anatomaly.whole_file import whole_file

DISTRIBUTIONS = (
    "anatomaly",
    "torch",
    "numpy",
    "scipy",
    "nibabel",
    "nilearn",
    "niimath",
    "deepbet",
    "dcm2niix",
    "safetensors",
    "matplotlib",
    "pydicom",
    "highdicom",
)
"""What takes part in a result; its versions stand in every manifest."""


def software_versions() -> dict[str, str]:
    """Return the version of Python, the operating system and each of `DISTRIBUTIONS`.

    Read from installed metadata, so that nothing is imported. A package that is not installed is
    left out.
    """
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def write_manifest(path: Path, run: Mapping[str, Any]) -> None:
    """Write a run as JSON, all of it or nothing: a temporary file in the same folder is renamed.

    Paths become strings, arrays lists, dataclasses objects; NaN and infinity become null, because
    JSON has no word for them. Bytes of a name that are no UTF-8 are written as `names.shown` does.

    Raises:
        OutputError: the folder cannot be written.
        TypeError: a value is of a kind that has no plain form.
    """
    text = json.dumps(plain(run), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, text)


def write_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        with whole_file(path, several=True) as temporary:
            temporary.write_text(writable(text), encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error}); choose a folder that can be written and has space"
        ) from error


def plain(value: Any) -> Any:
    """Return a value in the types that JSON knows.

    >>> plain({"grid": np.eye(2, dtype=int), "file": Path("a/b"), "score": np.float32("nan")})
    {'grid': [[1, 0], [0, 1]], 'file': 'a/b', 'score': None}

    Raises:
        TypeError: there is no plain form.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {writable(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return plain(sorted(value))
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> str | int | float | bool | None:
    """Return a path as text, NaN and infinity as None, and what is plain already as it is."""
    if isinstance(value, Path):
        return shown(value)
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, int | float):
        return value
    raise TypeError(f"a run manifest cannot hold a {type(value).__name__}")
