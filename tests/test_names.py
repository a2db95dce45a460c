"""Names that are no text: what is shown can be written everywhere, and leads back to the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anatomaly.names import path_of, shown, writable

ODD = {
    b"Sch\xe4del.nii": r"Sch\xe4del.nii",
    "Schädel 患者.nii".encode(): "Schädel 患者.nii",
    b"a\tb\nc.nii": r"a\x09b\x0ac.nii",
    b"\x1b[31mred.nii": r"\x1b[31mred.nii",
    b"plain.nii": "plain.nii",
}


@pytest.mark.parametrize(("raw", "text"), ODD.items(), ids=list(ODD.values()))
def test_what_is_shown_can_be_written_and_leads_back(tmp_path: Path, raw: bytes, text: str):
    file = tmp_path / os.fsdecode(raw)
    try:
        file.write_text("x", encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes no such name")
    assert shown(file) == f"{tmp_path}/{text}"
    shown(file).encode("utf-8")
    assert path_of(shown(file)).read_text("utf-8") == "x"


def test_a_name_that_holds_an_escape_itself_is_found_as_it_is(tmp_path: Path):
    (tmp_path / r"a\xe4b").touch()
    assert path_of(shown(tmp_path / r"a\xe4b")).is_file()


def test_half_a_character_of_windows_is_written_too():
    assert writable("a\ud83d") == r"a\ud83d"
