"""Where scans are done: in this process, in processes beside it, or on machines of a cluster.

Whoever has scans to do knows `Engine` alone; `open_engine` chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Protocol, Self

from anatomaly.cli.engine_options import EngineOptions, share_out
from anatomaly.cli.progress import Display
from anatomaly.cli.work import Done, Job, JobQueue, Outcome, Task, attempt
from anatomaly.cli.worker_surroundings import threads_of_libraries
from anatomaly.errors import ConfigError

Ended = Iterator[tuple[Job, Outcome]]
"""Jobs in the order in which they end."""


class Engine(Protocol):
    """Does jobs; a context manager, entered once."""

    def __enter__(self) -> Self:
        """Load the weights, or start what does.

        Raises:
            AnatomalyError: no scan at all can be done.
        """

    def __exit__(self, kind: type[BaseException] | None, /, *_: object) -> None:
        """End what was started; what is half done leaves nothing behind."""

    def run(self, queue: JobQueue, started: Callable[[Job], None]) -> Ended:
        """Do all jobs of a queue, those included that join it meanwhile.

        Args:
            queue: of jobs whose names are all different.
            started: is told of each job that starts.
        """


class Here:
    """Does one job after the other in this process.

    Args:
        load: loads the weights and returns what does a job.
        threads: of libraries and programs, unless OMP_NUM_THREADS and the like are set; 0 leaves
            it to them.
    """

    def __init__(self, load: Callable[[], Callable[[Job], Done]], threads: int = 0) -> None:
        self._load, self._threads = load, threads
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(threads_of_libraries(self._threads, keep_users=True))
        with ExitStack() as undo:
            undo.push(self._stack)
            self._do = self._load()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, queue: JobQueue, started: Callable[[Job], None]) -> Ended:
        """Do one job after the other."""
        while (job := queue.take()) is not None:
            started(job)
            yield job, attempt(self._do, job)


def open_engine(
    task: Task,
    options: EngineOptions,
    scans: int,
    display: Display,
    memory_gb: float | None = None,
) -> Engine:
    """Return what does the scans, not yet entered.

    Args:
        task: what is done with each.
        options: of the user.
        scans: how many there are at most.
        display: is told how many processes it takes.
        memory_gb: that processes of this machine may take; None is what is free.

    Raises:
        ConfigError: the engine needs a library that is not installed, or a file of the user's
            that cannot be read.
    """
    if options.engine == "dask":
        return _dask(task, options, display)
    shares = share_out(options, task.config.threads, scans, memory_gb)
    if len(shares.threads) < 2:
        if options.jobs != "1" and scans > 1:
            display.note(shares.why)
            threads = shares.threads[0]
            return Here(task.with_threads(threads).load, threads)
        return Here(task.load, task.config.threads)
    from anatomaly.cli.worker_processes import WorkerProcesses

    display.note(shares.why)
    if shares.doubt:
        display.line(shares.doubt, style="yellow")
    return WorkerProcesses(task, shares.threads)


def _dask(task: Task, options: EngineOptions, display: Display) -> Engine:
    """Return the engine that needs Dask, or say what to install."""
    from anatomaly.cli.dask_cluster import import_jobqueue

    try:
        import distributed  # noqa: F401

        import_jobqueue()
    except ImportError as error:
        raise ConfigError(
            "--engine dask needs Dask: pip install 'anatomaly[cluster]', here and on the workers"
        ) from error
    from anatomaly.cli.dask_workers import DaskWorkers

    return DaskWorkers(task, options, display)
