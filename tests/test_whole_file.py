"""A file is whole or not there."""

from pathlib import Path

import pytest

from anatomaly.whole_file import whole_file


def test_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("ha")
            raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".x.part").write_text("half of something longer")
    with whole_file(tmp_path / "x") as temporary:
        temporary.write_text("all")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "all"


def test_several_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with whole_file(path, several=True) as first, whole_file(path, several=True) as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert path.read_text() == "1"
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_processes_left_goes_after_a_day(tmp_path: Path):
    import os
    import time

    for name, age in (
        (".a.txt.0001.part", 90_000),
        (".a.txt.0002.part", 10),
        (".b.1.part", 90_000),
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    with whole_file(tmp_path / "a.txt", several=True) as temporary:
        temporary.write_text("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a.txt.0002.part", ".b.1.part", "a.txt"]
