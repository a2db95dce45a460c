"""Which engine is chosen, and what the one in this process does."""

import os
import sys

import pytest

from anatomaly.cli import engine_options
from anatomaly.cli.engine_options import EngineOptions
from anatomaly.cli.engines import Here, open_engine
from anatomaly.cli.progress import Display
from anatomaly.cli.worker_processes import WorkerProcesses
from anatomaly.errors import ConfigError, WeightsError


@pytest.fixture(autouse=True)
def fixture_machine(monkeypatch):
    monkeypatch.setattr(engine_options, "usable_processors", lambda: 4)
    monkeypatch.setattr(engine_options, "free_memory_gb", lambda: 9.0)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def chosen(task, capsys, scans=10, memory_gb=None, **told):
    with Display(scans) as display:
        engine = open_engine(task, EngineOptions(**told), scans, display, memory_gb)
    return engine, capsys.readouterr().err


def test_one_process_unless_more_are_asked_for(stand_in, capsys):
    engine, said = chosen(stand_in(), capsys)
    assert isinstance(engine, Here) and said == ""
    engine, said = chosen(stand_in(), capsys, jobs="auto")
    assert isinstance(engine, WorkerProcesses) and engine._threads == (2, 2)
    assert said == "2 processes, 2 threads each (of 4); 9.0 GB of memory to be had\n"
    engine, said = chosen(stand_in(), capsys, jobs="3")
    assert engine._threads == (2, 1, 1)
    assert "3 processes may take 10 GB" in said or "3 processes may take 11 GB" in said
    engine, said = chosen(stand_in(), capsys, jobs="auto", memory_gb=5.0)
    assert isinstance(engine, Here) and said.startswith("1 process, 4 threads (of 4); 5.0 GB")
    assert isinstance(chosen(stand_in(), capsys, scans=1, jobs="auto")[0], Here)


def test_in_this_process_one_after_the_other(stand_in, starts, run_all, tmp_path):
    names = ("a", "broken", "doubtful", "b")
    ended = run_all(Here(stand_in().load), *names)
    assert list(ended) == list(names)
    assert [name for name, outcome in ended.items() if outcome.kind] == ["broken"]
    assert ended["doubtful"].warnings == ("registration is poor",)
    assert starts("load") == 1
    assert str(os.getpid()) in (tmp_path / "out" / "a" / "run.json").read_text()


def test_threads_of_the_user_hold_for_programs_too(stand_in, run_all, tmp_path, monkeypatch):
    run_all(Here(stand_in().load, 3), "a")
    assert '["3", 0]' in (tmp_path / "out" / "a" / "run.json").read_text()
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    run_all(Here(stand_in().load, 3), "b")
    assert '["2", 0]' in (tmp_path / "out" / "b" / "run.json").read_text()
    with pytest.raises(WeightsError), Here(stand_in(weights="missing").load, 3):
        pass
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_dask_says_what_to_install(stand_in, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'anatomaly\[cluster\]'"):
        chosen(stand_in(), capsys, engine="dask", scheduler="tcp://a:1")
