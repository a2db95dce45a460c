"""Starts the cluster that a YAML file describes: Dask's, and its queues on SLURM, PBS, SGE, ..."""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from anatomaly.errors import ConfigError
from anatomaly.names import shown

LOCAL = "LocalCluster"
QUEUES = (
    "SLURMCluster", "PBSCluster", "SGECluster", "LSFCluster", "OARCluster", "MoabCluster",
    "HTCondorCluster",
)  # fmt: skip
"""Classes of dask-jobqueue; the file names one of these, or `LOCAL`."""

_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # a scan is tried again by us, once
    "distributed.admin.low-level-log-length": 500,  # else memory grows for 100,000 scans
}


@dataclass(frozen=True)
class ClusterFile:
    """What a YAML file says.

    Attributes:
        kind: `LOCAL` or one of `QUEUES`.
        workers: jobs of a queue, or processes of this machine; from 1.
        arguments: of the class.
    """

    kind: str
    workers: int
    arguments: dict[str, Any] = field(default_factory=dict)


def read_cluster(path: Path) -> ClusterFile:
    """Read a YAML file with `class`, `workers` and `arguments`.

    Raises:
        ConfigError: it cannot be read, or does not say these.
    """
    import yaml

    try:
        told = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"--cluster: {shown(path)} cannot be read ({error})") from error
    if not isinstance(told, dict) or not {"class", "workers"} <= set(told):
        raise ConfigError(f"--cluster: {shown(path)} has to say class, workers and arguments")
    if unknown := sorted(map(str, set(told) - {"class", "workers", "arguments"})):
        raise ConfigError(f"--cluster: {shown(path)} says {', '.join(unknown)}, which is not known")
    kind, workers, arguments = told["class"], told["workers"], told.get("arguments") or {}
    if kind not in (LOCAL, *QUEUES):
        raise ConfigError(f"--cluster: class is {kind}; choose among {', '.join((LOCAL, *QUEUES))}")
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise ConfigError(f"--cluster: workers: expected a number from 1, got {workers}")
    if not isinstance(arguments, dict):
        raise ConfigError(f"--cluster: arguments: expected names and values, got {arguments}")
    return ClusterFile(kind, workers, arguments)


def import_jobqueue() -> ModuleType:
    """Import dask-jobqueue, and undo what that does to signals (0.9 lets Ctrl-C end with status 0).

    Raises:
        ImportError: it is not installed.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        import dask_jobqueue
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
    return dask_jobqueue


def make_cluster(told: ClusterFile, log_level: int = logging.CRITICAL) -> Any:
    """Return a cluster whose scheduler runs in this process; a queue is not asked for jobs yet.

    Args:
        told: what to start.
        log_level: of what Dask says of itself.

    Raises:
        ConfigError: the class does not take these arguments, or the machine has no such queue.
    """
    import dask
    import distributed

    dask.config.set(_SETTINGS)
    try:
        if told.kind == LOCAL:
            usual = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": log_level}
            return distributed.LocalCluster(n_workers=told.workers, **usual | told.arguments)
        arguments = {"scheduler_options": {"dashboard_address": None}} | told.arguments
        return getattr(import_jobqueue(), told.kind)(**arguments)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise ConfigError(f"--cluster: {told.kind} cannot be started ({error})") from error


def ask_for_workers(cluster: Any, told: ClusterFile) -> None:
    """Ask a queue for its jobs; those that end before the work does are asked for again."""
    if told.kind != LOCAL:
        cluster.adapt(minimum_jobs=told.workers, maximum_jobs=told.workers)
