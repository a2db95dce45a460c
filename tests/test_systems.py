"""What differs between systems, looked at from each of them."""

from __future__ import annotations

import ast
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from anatomaly import systems
from anatomaly.cli.naming import result_names
from anatomaly.preprocess import niimath
from anatomaly.scan import dicom

SOURCES = sorted((Path(__file__).parents[1] / "src").rglob("*.py"))
POSIX_ONLY = {
    "fcntl", "resource", "pwd", "grp", "termios", "syslog", "posix",
    "getuid", "geteuid", "sched_getaffinity", "statvfs", "sysconf", "fork", "killpg", "getpgid",
    "getloadavg", "mkfifo", "chown", "setsid", "uname",
}  # fmt: skip


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_programs_have_no_ending_where_none_is_usual(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    assert systems.program_path(Path("/wheel/dcm2niix")) == str(Path("/wheel/dcm2niix"))


def test_programs_end_with_exe_on_windows_once(monkeypatch):
    """The wheel of dcm2niix ships `dcm2niix.exe` there and names `dcm2niix`; niimath's says it."""
    monkeypatch.setattr(sys, "platform", "win32")
    assert systems.program_path("wheel/dcm2niix") == "wheel/dcm2niix.exe"
    assert systems.program_path("wheel/niimath.exe") == "wheel/niimath.exe"
    assert systems.program_path("v1.0/niimath.EXE") == "v1.0/niimath.EXE"
    assert systems.program_path("v1.0/niimath") == "v1.0/niimath.exe"


def test_both_programs_are_called_by_the_name_that_windows_knows(monkeypatch, tmp_path):
    called = []

    def note(command, **_):
        called.append(Path(command[0]).name)
        return SimpleNamespace(returncode=0, stdout=b"", stderr=b"")

    monkeypatch.setattr("subprocess.run", note)
    monkeypatch.setattr(sys, "platform", "win32")
    niimath.run_niimath(["in.nii", "out.nii"], tmp_path)
    dicom._convert(tmp_path, tmp_path)
    assert called == ["niimath.exe", "dcm2niix.exe"]


def test_processors_are_those_of_the_process_or_of_the_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert systems.usable_processors() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert systems.usable_processors() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert systems.usable_processors() == 1


def test_a_file_of_somebody_else_is_not_ours(monkeypatch, tmp_path):
    status = tmp_path.stat()
    monkeypatch.setattr(os, "getuid", lambda: status.st_uid, raising=False)
    assert systems.is_of_this_user(status)
    monkeypatch.setattr(os, "getuid", lambda: status.st_uid + 1)
    assert not systems.is_of_this_user(status)
    monkeypatch.delattr(os, "getuid")
    assert systems.is_of_this_user(status)


def test_places_for_temporary_files_are_those_of_the_system(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert "TEMP" in systems.temporary_places()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert systems.temporary_places().startswith("/tmp")


def test_names_that_some_systems_take_for_one():
    assert systems.same_name("Scan_É") == systems.same_name("scan_e\u0301")
    assert systems.same_name("scan_1") != systems.same_name("scan_2")
    scans = [Path("p1/T1W.nii.gz"), Path("p2/t1w.nii.gz"), Path("p3/other.nii")]
    assert result_names(scans) == ["p1_T1W", "p2_t1w", "other"]


@pytest.mark.parametrize(("system", "most", "gb"), [("darwin", 3e9, 3.0), ("freebsd", 3e6, 3.0)])
def test_memory_is_told_without_proc(monkeypatch, system, most, gb):
    """macOS counts bytes, others kB."""
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    monkeypatch.setattr(sys, "platform", system)
    usage = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: SimpleNamespace(ru_maxrss=most))
    monkeypatch.setitem(sys.modules, "resource", usage)
    assert systems.peak_memory_gb() == pytest.approx(gb)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert math.isnan(systems.peak_memory_gb())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_by_proc_is_that_of_the_process():
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    assert systems.peak_memory_gb() == pytest.approx(most, rel=0.5)


def words_of(tree: ast.AST) -> set[str]:
    """Modules imported and attributes of `os` used."""
    words = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            words |= {alias.name for alias in node.names}
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "os":
            words.add(node.attr)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "sys":
            words |= {"sys.platform"} & {f"sys.{node.attr}"}
    return words


def test_the_check_sees_what_only_posix_has():
    found = words_of(ast.parse("import fcntl\nos.getuid()\nsys.platform"))
    assert found == {"fcntl", "getuid", "sys.platform"}


def test_no_other_module_asks_which_system_it_is():
    found = {path.name: words_of(ast.parse(path.read_text("utf-8"))) for path in SOURCES}
    assert found.pop("systems.py") & POSIX_ONLY
    asked = {name: words & (POSIX_ONLY | {"sys.platform"}) for name, words in found.items()}
    assert {name: words for name, words in asked.items() if words} == {}


def test_free_memory_is_what_the_tightest_group_leaves(tmp_path):
    assert math.isnan(systems.free_memory_gb(tmp_path))
    group = tmp_path / "sys/fs/cgroup/job/step"
    for folder in (tmp_path / "proc/self", group, tmp_path / "sys/fs/cgroup/memory/job"):
        folder.mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   20000000 kB\n")
    assert systems.free_memory_gb(tmp_path) == pytest.approx(20.48)
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n4:cpu,memory:/job\n3:pids:/job\n")
    assert systems.free_memory_gb(tmp_path) == pytest.approx(20.48)
    for folder, most, taken in ((group, "max", 1), (group.parent, "9000000000", 4_000_000_000)):
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text(f"{taken}\n")
        (folder / "memory.stat").write_text("anon 5\ninactive_file 1000000000\n")
    assert systems.free_memory_gb(tmp_path) == pytest.approx(6.0)
    old = tmp_path / "sys/fs/cgroup/memory/job"
    (old / "memory.limit_in_bytes").write_text("3000000000\n")
    (old / "memory.usage_in_bytes").write_text("2500000000\n")
    (old / "memory.stat").write_text("inactive_file 7\ntotal_inactive_file 1000000000\n")
    assert systems.free_memory_gb(tmp_path) == pytest.approx(1.5)


def test_free_memory_of_this_machine():
    if sys.platform == "linux":
        assert 0 < systems.free_memory_gb() < 1e5
