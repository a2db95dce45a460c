"""What is already known, in files that appear whole or not at all: small JSON, and arrays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anatomaly.whole_file import whole_file


@dataclass(frozen=True)
class Ledger:
    """A folder of records by name; nothing that is in it is computed again.

    Attributes:
        folder: made when the first record is written.
    """

    folder: Path

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a record, None where there is none."""
        path = self._path(name)
        if not path.is_file():
            return None
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return record

    def write(self, name: str, record: dict[str, Any]) -> None:
        """Write a record, whole or not at all."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(record, indent=1), encoding="utf-8", newline="\n")

    def remember(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a record, made and written now if it is not there yet."""
        record = self.read(name)
        if record is None:
            record = make()
            self.write(name, record)
        return record

    def remove(self, name: str) -> None:
        """Forget a record, if there is one."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def save_arrays(path: Path, **arrays: Any) -> None:
    """Write arrays into one `.npz` file, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
