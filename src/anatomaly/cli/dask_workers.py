"""Does scans on the workers of a Dask cluster; the engine is Dask's, the bookkeeping is ours.

A worker loads the weights once and does one scan at a time, however many threads Dask gives it. As
many scans are on their way as there are workers: no queue grows anywhere, and a worker that dies
costs nobody who waits. Results go to the shared output folder; only a few words come back.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from distributed import Client, Future, KilledWorker, WorkerPlugin, get_worker

from anatomaly import __version__
from anatomaly.cli.dask_cluster import ask_for_workers, make_cluster, read_cluster
from anatomaly.cli.engine_options import EngineOptions
from anatomaly.cli.progress import STAGE_LOGGER, Display
from anatomaly.cli.work import Done, Job, JobQueue, Outcome, Task, attempt
from anatomaly.cli.worker_surroundings import THREAD_VARIABLES, Forwarder, show_record
from anatomaly.errors import AnatomalyError, ConfigError, OutputError, WorkerError
from anatomaly.names import shown

CONNECT_SECONDS = 30.0
LOOK_SECONDS = 1.0
"""How often it is looked whether there are more workers."""
GONE_SECONDS = 3.0
TRIES = 2

AnyFuture = Future[Any]
Answer = tuple[Outcome, list[logging.LogRecord]]


@dataclass
class _Sent:
    """A job, the worker that it went to, and since when that is missing."""

    job: Job
    worker: str
    missing_since: float | None = None

    def is_lost(self, there: set[str]) -> bool:
        """Return whether the worker is gone for good; word of its death may be on its way."""
        if self.worker in there:
            self.missing_since = None
            return False
        self.missing_since = self.missing_since or time.monotonic()
        return time.monotonic() - self.missing_since > GONE_SECONDS


class DaskWorkers:
    """Does jobs on the workers of a cluster.

    Args:
        task: what is done with each job.
        options: name a scheduler, or a file that says which cluster to start.
        display: is told what is waited for.

    Raises:
        ConfigError: the file cannot be used.
    """

    def __init__(self, task: Task, options: EngineOptions, display: Display) -> None:
        self._task, self._display = task.anywhere(), display
        self._scheduler = options.scheduler
        self._told = read_cluster(options.cluster) if options.cluster else None
        self._name = f"anatomaly-{secrets.token_hex(8)}"
        self._stack = ExitStack()
        self._tries: dict[str, int] = {}
        self._useless: dict[str, str] = {}
        """Workers that could not load the weights, and why."""
        self._news = threading.Event()
        """Something has ended."""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.push(self._stack)
            self._client = self._connect()
            probe = self._stack.enter_context(probed(self._task.output))
            level = logging.getLogger("anatomaly").level
            plugin = ScanPlugin(self._name, self._task, probe, level)
            self._client.register_plugin(plugin)
            self._stack.callback(self._forget)
            if not self._client.nthreads():
                self._display.note("waiting for the first worker of the cluster")
            trial: AnyFuture = self._client.submit(load_task, self._name, pure=False)
            try:
                trial.result()
            except KilledWorker as error:
                raise WorkerError("a worker died while it loaded the weights") from error
            undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, /, *_: object) -> None:
        self._stack.close()

    def run(self, queue: JobQueue, started: Callable[[Job], None]) -> Iterator[tuple[Job, Outcome]]:
        """Do all jobs, one at a time on each worker that there is at the moment.

        Raises:
            WorkerError: the scheduler is gone, or no worker can do any scan.
        """
        running: dict[AnyFuture, _Sent] = {}
        try:
            while running or not queue.is_empty():
                there = self._there()
                for worker in self._usable(there) - {sent.worker for sent in running.values()}:
                    if (job := queue.take()) is not None:
                        running[self._submit(job, worker)] = _Sent(job, worker)
                        started(job)
                self._news.wait(LOOK_SECONDS)
                self._news.clear()
                for future, sent in list(running.items()):
                    if future.done():
                        outcome = self._outcome(future, sent)
                    elif sent.is_lost(there):
                        outcome = self._again(sent, "left", is_death=self._told is None)
                    else:
                        continue
                    del running[future]
                    future.cancel()
                    if outcome is None:
                        queue.put_last(sent.job)
                    else:
                        yield sent.job, outcome
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(running))

    def _there(self) -> set[str]:
        """Return the addresses of all workers.

        Raises:
            WorkerError: the scheduler is gone.
        """
        try:
            return set(self._client.nthreads())
        except (OSError, CancelledError, RuntimeError) as error:
            raise WorkerError(_LOST) from error

    def _usable(self, there: set[str]) -> set[str]:
        """Return workers that may be given scans.

        Raises:
            WorkerError: there are workers, and none of them can do any scan.
        """
        if there and there <= self._useless.keys():
            raise WorkerError(f"no worker can do a scan: {self._useless[min(there)]}")
        return there - self._useless.keys()

    def _connect(self) -> Client:
        """Return a client of the scheduler, or of a cluster that is started now.

        Raises:
            ConfigError: nobody answers, or the cluster cannot be started.
        """
        level = logging.WARNING if self._display.verbose else logging.CRITICAL
        logging.getLogger("distributed").setLevel(level)  # what matters is said by us
        address: Any = self._scheduler
        if self._told:
            address = self._stack.enter_context(make_cluster(self._told, level))
            ask_for_workers(address, self._told)
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"--scheduler: nobody answers at {self._scheduler} ({error}); is it running?"
            ) from error
        self._stack.enter_context(client)
        return client

    def _submit(self, job: Job, worker: str) -> AnyFuture:
        """Send a job to a worker, and to no other: so a worker that dies had one job of ours."""
        there = Job(job.name, job.scan.absolute(), job.subject)
        future: AnyFuture = self._client.submit(
            do_job, self._name, there, workers=[worker], pure=False
        )
        future.add_done_callback(lambda _: self._news.set())
        return future

    def _outcome(self, future: AnyFuture, sent: _Sent) -> Outcome | None:
        """Return what came of a job; None where it is to be tried again.

        Raises:
            WorkerError: the scheduler is gone.
        """
        try:
            outcome, records = future.result()
        except KilledWorker:
            return self._again(sent, "died", is_death=True)
        except AnatomalyError as error:  # of the weights: what a job raises is an outcome
            self._useless[sent.worker] = f"{type(error).__name__}: {error}"
            self._tell(f"done elsewhere, since {sent.worker} cannot: {error}", sent.job)
            return None
        except (CancelledError, OSError) as error:
            raise WorkerError(_LOST) from error
        except Exception as error:
            return Outcome(kind=type(error).__name__, reason=f"unexpected: {error}")
        for record in records:
            show_record(record, sent.job)
        return cast(Outcome, outcome)

    def _again(self, sent: _Sent, how: str, is_death: bool) -> Outcome | None:
        """Return None where a job whose worker is gone is tried again, else how it ended."""
        tries = self._tries[sent.job.name] = self._tries.get(sent.job.name, 0) + is_death
        if tries >= TRIES:
            return Outcome(kind="WorkerError", reason=_DIED)
        self._tell(f"its worker {sent.worker} {how}; it is tried once more later", sent.job)
        return None

    def _tell(self, text: str, job: Job) -> None:
        """Show a warning about a job."""
        self._display.line(f"{shown(job.name)}: {text}", style="yellow")

    def _forget(self) -> None:
        """Let workers that stay drop the weights."""
        with suppress(Exception):  # they may be gone
            self._client.unregister_worker_plugin(self._name)


_DIED = (
    f"the workers that did it died, {TRIES} times; most likely for want of memory or of time: give "
    "them more, or try this scan alone"
)

_LOST = (
    "the connection to the scheduler is lost; finished results stay: run the same command again "
    "with --skip-finished"
)


class ScanPlugin(WorkerPlugin):
    """What a worker keeps: the task, and the weights once they are loaded.

    Args:
        name: of this run.
        task: what is done with each job.
        probe: a file in the output folder, which a worker has to see.
        level: of what is logged.
    """

    def __init__(self, name: str, task: Task, probe: Path, level: int) -> None:
        self.name = name
        self._task, self._probe, self._level = task, probe, level
        self._version = __version__
        self._do: Callable[[Job], Done] | None = None

    def setup(self, worker: Any) -> None:
        """Let libraries that are loaded from now on use as many threads as the worker has."""
        self._lock = threading.Lock()
        threads = self._task.config.threads or worker.state.nthreads
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)), MPLBACKEND="agg")
        self._task = self._task.with_threads(threads)

    def teardown(self, worker: Any) -> None:
        """Drop the weights."""
        self._do = None

    def load(self) -> Callable[[Job], Done]:
        """Load the weights, unless that was done; the lock is held.

        Raises:
            ConfigError: the worker has another version.
            OutputError: the worker does not see the output folder.
            AnatomalyError: the weights cannot be used.
        """
        if self._do is None:
            host = get_worker().address
            if self._version != __version__:
                raise ConfigError(
                    f"worker {host} has anatomaly {__version__}, here is {self._version}; install "
                    "the same on all"
                )
            if not self._probe.is_file():
                raise OutputError(
                    f"worker {host} does not see {shown(self._probe.parent)}; the output folder "
                    "must lie on a disk that all machines share"
                )
            self._do = self._task.load()
        return self._do

    def do(self, job: Job) -> Answer:
        """Do a job when no other is done here."""
        records: list[logging.LogRecord] = []
        with self._lock, Forwarder(records.append, self._level).listening():
            outcome = attempt(self.load(), job)
        least = self._level if self._level < logging.INFO else logging.WARNING
        return outcome, [r for r in records if r.name != STAGE_LOGGER and r.levelno >= least]

    def try_load(self) -> None:
        """Load the weights ahead of the first job."""
        with self._lock:
            self.load()


def load_task(name: str) -> None:
    """Load the weights; runs on a worker."""
    plugin_of(name).try_load()


def do_job(name: str, job: Job) -> Answer:
    """Do a job; runs on a worker."""
    return plugin_of(name).do(job)


def plugin_of(name: str) -> ScanPlugin:
    """Return the plugin of a run on this worker."""
    return cast(ScanPlugin, get_worker().plugins[name])


@contextmanager
def probed(output: Path) -> Iterator[Path]:
    """Yield a hidden file in the output folder that goes again; the folder too if it stays empty.

    Raises:
        OutputError: it cannot be written.
    """
    missing = [place for place in (output, *output.parents) if not place.exists()]
    probe = output / f".anatomaly-{secrets.token_hex(4)}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe.touch()
    except OSError as error:
        raise OutputError(
            f"cannot write to {shown(output)} ({error.strerror}); choose another folder"
        ) from error
    try:
        yield probe
    finally:
        with suppress(OSError):
            probe.unlink()
            for place in missing:
                place.rmdir()
