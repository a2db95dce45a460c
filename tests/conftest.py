"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real scans: `ANATOMALY_DATA`, else `../shared/data` beside the checkout; else skip."""
    named = os.environ.get("ANATOMALY_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "README.md").is_file():
        pytest.skip(f"real scans not found at {folder}; set ANATOMALY_DATA to their folder")
    return folder
