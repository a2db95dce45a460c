"""The options that say where scans are done, and how processors and memory are shared out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Annotated, Literal

import typer

from anatomaly.cli.options import RUN
from anatomaly.errors import ConfigError
from anatomaly.systems import free_memory_gb, usable_processors

GB_A_WORKER = 3.5
"""What a process takes at most on a head of 1 mm (3.0 GB measured), with some to spare."""


@dataclass(frozen=True)
class EngineOptions:
    """Where scans are done; `settle` checks that the options fit together.

    Attributes:
        jobs: number of processes, or `auto`: as many as processors and free memory allow.
        engine: `local`, or `dask` for the machines of a cluster.
        scheduler: address of a Dask scheduler that runs.
        cluster: YAML file that says which cluster Dask starts.
        memory_gb: that all processes together may take; None is what is free. Of the BIDS App.
    """

    jobs: Annotated[
        str,
        typer.Option(
            rich_help_panel=RUN,
            metavar="N|auto",
            help="Scans at once, each in a process of 3.5 GB; `auto`: as many as processors "
            "and free memory allow. `--threads` is the limit of all together.",
        ),
    ] = "1"
    engine: Annotated[
        Literal["local", "dask"],
        typer.Option(
            rich_help_panel=RUN,
            help="Where scans are done: on this machine, or on those of a Dask cluster.",
        ),
    ] = "local"
    scheduler: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=RUN,
            metavar="ADDRESS",
            help="With --engine dask: a scheduler that runs already, for example tcp://head:8786.",
        ),
    ] = None
    cluster: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=RUN,
            metavar="FILE",
            help="With --engine dask: a YAML file that says which cluster to start (SLURM ...).",
        ),
    ] = None

    def settle(self) -> EngineOptions:
        """Return the options if they fit together.

        Raises:
            ConfigError: they do not.
        """
        if self.jobs != "auto" and not re.fullmatch("[1-9][0-9]*", self.jobs):
            raise ConfigError(f"--jobs: expected a number from 1, or auto, got {self.jobs}")
        given = [name for name in ("scheduler", "cluster") if getattr(self, name) is not None]
        if self.engine == "local" and given:
            raise ConfigError(f"--{given[0]} needs --engine dask")
        if self.engine == "dask" and len(given) != 1:
            raise ConfigError("--engine dask needs one of --scheduler and --cluster")
        if self.engine == "dask" and self.jobs != "1":
            raise ConfigError("--jobs is for one machine; with Dask the cluster says how many")
        if self.scheduler is not None and "://" not in self.scheduler:
            raise ConfigError(
                f"--scheduler: expected an address such as tcp://head:8786, got {self.scheduler}"
            )
        return self


@dataclass(frozen=True)
class Shares:
    """How many processes there are, and what they may use.

    Attributes:
        threads: of each process, at least 1.
        why: one line about it, for the user.
        doubt: what speaks against it; empty where nothing does.
    """

    threads: tuple[int, ...]
    why: str
    doubt: str = ""


def share_out(
    options: EngineOptions, threads: int, scans: int, memory_gb: float | None = None
) -> Shares:
    """Share processors and memory out to processes.

    Their number is the least of: the processors over the threads of a process (OMP_NUM_THREADS,
    else 1), the free memory over `GB_A_WORKER` (only with `auto`), and the scans. What is left of
    the processors goes to the first of them.

    Args:
        options: settled.
        threads: of all processes together; 0 takes the processors that this one may use.
        scans: how many there are.
        memory_gb: that all together may take, at most what is free; None is what is free. Where
            neither is known, `auto` is one process.
    """
    total = threads or usable_processors()
    by_user = os.environ.get("OMP_NUM_THREADS", "")
    each = min(int(by_user), total) if by_user.isdigit() else 0
    free = free_memory_gb()
    if memory_gb is not None:
        free = memory_gb if isnan(free) else min(free, memory_gb)
    number = max(1, min(total // (each or 1), scans))
    if options.jobs == "auto":
        number = max(1, min(number, 1 if isnan(free) else int(free / GB_A_WORKER)))
    else:
        number = min(number, int(options.jobs))
    shares = tuple(each or total // number + (n < total % number) for n in range(number))
    wanted_gb = number * GB_A_WORKER
    doubt = f"{number} processes may take {wanted_gb:.0f} GB of memory, more than there is free"
    return Shares(
        shares, _why(shares, total, free), doubt if number > 1 and wanted_gb > free else ""
    )


def _why(shares: tuple[int, ...], total: int, free_gb: float) -> str:
    """Say how many processes there are, and of what."""
    least, most = min(shares), max(shares)
    threads = str(least) if least == most else f"{least} to {most}"
    threads += " thread" if most == 1 else " threads"
    said = (
        f"{len(shares)} processes, {threads} each" if len(shares) > 1 else f"1 process, {threads}"
    )
    memory = "nobody tells how much memory is free"
    if not isnan(free_gb):
        memory = f"{free_gb:.1f} GB of memory to be had"
    return f"{said} (of {total}); {memory}"
