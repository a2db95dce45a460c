"""Processors, memory and engines under the names that BIDS Apps have."""

from pathlib import Path

import pytest

from anatomaly.cli.bids_app import make_parser, run
from anatomaly.cli.bids_engine import engine_options, memory_gb, memory_of
from anatomaly.cli.engine_options import EngineOptions

HERE = ("raw", "out", "participant")


@pytest.mark.parametrize(
    ("words", "n_cpus", "mem"),
    [
        (["--n-cpus", "8"], 8, None),
        (["--n_cpus", "8", "--mem_mb", "16000"], 8, 16.0),
        (["--nprocs", "8", "--mem", "16G"], 8, 16.0),
        (["--nthreads", "8", "--mem-mb", "500"], 8, 0.5),
        (["--mem_gb", "12"], 0, 12.0),
        (["--mem-gb", "12.5"], 0, 12.5),
    ],
)
def test_names_of_other_bids_apps(words, n_cpus, mem):
    told = make_parser().parse_args([*HERE, *words])
    assert (told.n_cpus, memory_of(told), told.jobs) == (n_cpus, mem, None)
    assert engine_options(told).jobs == ("1" if mem is None else "auto")


@pytest.mark.parametrize(
    ("text", "gb"),
    [("1000", 1.0), ("32G", 32), ("32 GB", 32), ("32gib", 32), ("1.5T", 1500), ("8e9B", None),
     ("0", None), ("-1", None), ("much", None), ("", None), ("4000000000B", 4)],
)  # fmt: skip
def test_amounts_of_memory(text, gb):
    if gb is None:
        with pytest.raises(Exception, match="expected memory such as 32G"):
            memory_gb(text)
    else:
        assert memory_gb(text) == pytest.approx(gb)


@pytest.mark.parametrize(
    "words", [["--n-cpus", "0"], ["--mem", "much"], ["--jobs", "0"], ["--engine", "dask"]]
)
def test_wrong_usage_is_64(tmp_path, words):
    (tmp_path / "raw").mkdir()
    arguments = [str(tmp_path / "raw"), str(tmp_path / "out"), "participant", *words]
    try:
        status = run(arguments)
    except SystemExit as left:
        status = left.code
    assert status == 64
    assert not (tmp_path / "out").exists()


def test_options_of_dask():
    words = ["--engine", "dask", "--cluster", "slurm.yaml", "--mem", "8G"]
    told = make_parser().parse_args([*HERE, *words])
    assert engine_options(told) == EngineOptions("1", "dask", None, Path("slurm.yaml"))
