"""Options of the BIDS App that say where scans are done, under the names that BIDS Apps have."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from anatomaly.cli.engine_options import EngineOptions

_GB = {"B": 1e-9, "K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}


def add_engine_options(group: argparse._ArgumentGroup) -> None:
    """Add the options to a group of a parser."""
    add = group.add_argument
    add(
        "--n-cpus", "--n_cpus", "--nprocs", "--nthreads", type=count, default=0, metavar="N",
        help="threads of all processes together (default: all processors)",
    )  # fmt: skip
    add(
        "--jobs", metavar="N|auto",
        help="scans at once, each in a process of 3.5 GB; auto: as many as CPUs and memory allow "
        "(default: 1, with --mem auto)",
    )  # fmt: skip
    add(
        "--mem", "--mem-mb", "--mem_mb", type=memory_gb, metavar="MEMORY",
        help="memory that all processes may take, for example 32G; a bare number is MB",
    )  # fmt: skip
    add(
        "--mem-gb", "--mem_gb", type=lambda text: memory_gb(f"{text}G"), metavar="GB",
        help="the same in GB",
    )  # fmt: skip
    add(
        "--engine", choices=("local", "dask"), default="local",
        help="where scans are done: on this machine (default), or on those of a Dask cluster",
    )  # fmt: skip
    add("--scheduler", metavar="ADDRESS", help="with --engine dask: a scheduler that runs already")
    add(
        "--cluster", type=Path, metavar="FILE",
        help="with --engine dask: a YAML file that says which cluster to start",
    )  # fmt: skip


def engine_options(options: argparse.Namespace) -> EngineOptions:
    """Return where scans are done: in one process, unless `--jobs` or the memory is given.

    Raises:
        ConfigError: the options do not fit together.
    """
    usual = "1" if options.engine == "dask" or memory_of(options) is None else "auto"
    jobs = options.jobs or usual
    return EngineOptions(jobs, options.engine, options.scheduler, options.cluster).settle()


def memory_of(options: argparse.Namespace) -> float | None:
    """Return the memory that all processes may take, in GB; None where nobody said."""
    given = [each for each in (options.mem, options.mem_gb) if each is not None]
    return min(given, default=None)


def count(text: str) -> int:
    """Return a number of CPUs.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1, got {text}")
    return int(text)


def memory_gb(text: str) -> float:
    """Return an amount of memory in GB; a bare number is MB, as in other BIDS Apps.

    >>> memory_gb("8000"), memory_gb("12.5G"), memory_gb("12GB")
    (8.0, 12.5, 12.0)

    Raises:
        argparse.ArgumentTypeError: it is no such amount, or none at all.
    """
    found = re.fullmatch(
        r"([0-9]+(?:\.[0-9]+)?) *(?:([KMGT])i?B?|(B))?", text.strip(), re.IGNORECASE
    )
    amount = float(found[1]) * _GB[(found[2] or found[3] or "M").upper()] if found else 0.0
    if amount <= 0:
        raise argparse.ArgumentTypeError(f"expected memory such as 32G, got {text}")
    return amount
