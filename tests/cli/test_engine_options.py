"""Which options fit together, and how processors and memory are shared out."""

from pathlib import Path

import pytest

from anatomaly.cli import engine_options
from anatomaly.cli.engine_options import EngineOptions, share_out
from anatomaly.errors import ConfigError


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"jobs": "0"}, "expected a number from 1, or auto, got 0"),
        ({"jobs": "many"}, "got many"),
        ({"scheduler": "tcp://a:1"}, "--scheduler needs --engine dask"),
        ({"cluster": Path("x.yaml")}, "--cluster needs --engine dask"),
        ({"engine": "dask"}, "one of --scheduler and --cluster"),
        ({"engine": "dask", "scheduler": "tcp://a:1", "cluster": Path("x")}, "one of"),
        ({"engine": "dask", "scheduler": "tcp://a:1", "jobs": "2"}, "for one machine"),
        ({"engine": "dask", "scheduler": "head:8786"}, "such as tcp://head:8786"),
    ],
)
def test_what_does_not_fit_together_is_refused(told, said):
    with pytest.raises(ConfigError, match=said):
        EngineOptions(**told).settle()


def test_what_fits_together_is_taken():
    for told in ({}, {"jobs": "auto"}, {"engine": "dask", "scheduler": "tls://a:1"}):
        assert EngineOptions(**told).settle() == EngineOptions(**told)


@pytest.fixture(name="machine")
def fixture_machine(monkeypatch):
    """Set processors, free memory and the user's OMP_NUM_THREADS."""

    def machine(processors, free_gb, omp=None):
        monkeypatch.setattr(engine_options, "usable_processors", lambda: processors)
        monkeypatch.setattr(engine_options, "free_memory_gb", lambda: free_gb)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if omp:
            monkeypatch.setenv("OMP_NUM_THREADS", omp)

    return machine


@pytest.mark.parametrize(
    ("jobs", "machine_has", "threads", "scans", "memory_gb", "shares"),
    [
        ("auto", (8, 100.0), 0, 1000, None, (1,) * 8),  # processors
        ("auto", (8, 11.0), 0, 1000, None, (3, 3, 2)),  # memory: 3.5 GB each
        ("auto", (8, 100.0), 0, 3, None, (3, 3, 2)),  # scans
        ("auto", (8, 100.0), 4, 1000, None, (1,) * 4),  # the user's limit
        ("auto", (8, 100.0, "2"), 0, 1000, None, (2,) * 4),  # the user's threads a process
        ("auto", (8, 100.0, "16"), 0, 1000, None, (8,)),
        ("auto", (8, 100.0), 0, 1000, 7.5, (4, 4)),  # --mem of the BIDS App
        ("auto", (8, 5.0), 0, 1000, 70.0, (8,)),  # which is no more than there is
        ("auto", (8, float("nan")), 0, 1000, None, (8,)),
        ("auto", (8, float("nan")), 0, 1000, 7.5, (4, 4)),
        ("auto", (8, 1.0), 0, 1000, None, (8,)),  # one process, whatever there is
        ("3", (8, 1.0), 0, 1000, None, (3, 3, 2)),  # the user knows better, and is told
        ("30", (8, 100.0), 0, 1000, None, (1,) * 8),  # never more threads than allowed
        ("3", (8, 100.0), 0, 2, None, (4, 4)),
    ],
)
def test_shares(machine, jobs, machine_has, threads, scans, memory_gb, shares):
    machine(*machine_has)
    found = share_out(EngineOptions(jobs=jobs), threads, scans, memory_gb)
    assert found.threads == shares
    assert sum(found.threads) <= (threads or 8)
    assert bool(found.doubt) == (jobs == "3" and machine_has[1] == 1.0)
    assert f"(of {threads or 8})" in found.why


def test_the_line_about_it(machine):
    machine(4, 8.0)
    assert share_out(EngineOptions(jobs="auto"), 0, 9).why == (
        "2 processes, 2 threads each (of 4); 8.0 GB of memory to be had"
    )
    machine(1, float("nan"))
    assert share_out(EngineOptions(jobs="auto"), 0, 9).why == (
        "1 process, 1 thread (of 1); nobody tells how much memory is free"
    )
