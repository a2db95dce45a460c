"""Does scans in processes of this machine; one that dies costs the scan that it had in hand.

Pipes and processes of the standard library: `ProcessPoolExecutor` gives up all that runs when one
process dies, and does not say of what (docs/decisions/0024-cohorts.md).
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Self

from anatomaly.cli.surroundings import orderly_end
from anatomaly.cli.work import Job, JobQueue, Outcome, Task, attempt
from anatomaly.cli.worker_surroundings import Forwarder, show_record, threads_of_libraries
from anatomaly.errors import AnatomalyError, WorkerError

PATIENCE_SECONDS = 15.0
"""How long processes have for ending in order: they remove copies of the brain."""
READY = "ready"
TRIES = 2


@dataclass
class _Worker:
    """A process, the end of its pipe, and what it does now."""

    process: SpawnProcess
    connection: Connection
    threads: int
    is_ready: bool = False
    job: Job | None = None
    why: str = ""
    """What it said before it ended."""


class WorkerProcesses:
    """Does jobs in processes that load the weights once each.

    Args:
        task: what is done with each job.
        threads: of each process; as many processes are started.
    """

    def __init__(self, task: Task, threads: Sequence[int]) -> None:
        self._task, self._threads = task, threads
        self._workers: list[_Worker] = []
        self._vacant: list[int] = []
        """Threads of processes that died and are replaced when there is something to do."""
        self._tries: dict[str, int] = {}
        self._were_ready = False
        self._why = ""
        """Of what the last process died."""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.push(self)
            for threads in self._threads:
                self._start(threads)
            while not any(worker.is_ready for worker in self._workers):
                for _ in self._listen(JobQueue(())):
                    pass
                if not self._workers:
                    raise WorkerError(f"no process for scans could be started: {self._why}")
            undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, /, *_: object) -> None:
        for worker in self._workers:
            with suppress(OSError):
                worker.connection.send(None)
            if kind is not None or worker.job is not None or not worker.is_ready:
                worker.process.terminate()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()
        self._workers.clear()

    def run(self, queue: JobQueue, started: Callable[[Job], None]) -> Iterator[tuple[Job, Outcome]]:
        """Do all jobs, as many at once as there are processes.

        Raises:
            WorkerError: no process is left.
        """
        while True:
            while self._vacant and not queue.is_empty():
                self._start(self._vacant.pop())
            for worker in self._workers:
                if worker.is_ready and worker.job is None and (job := queue.take()):
                    worker.job = job
                    started(job)
                    with suppress(OSError):  # it has just died, and is found so below
                        worker.connection.send(job)
            if not self._workers and not queue.is_empty():
                raise WorkerError(f"no process for scans is left: {self._why}")
            if any(worker.job for worker in self._workers) or not queue.is_empty():
                yield from self._listen(queue)
            else:
                return

    def _start(self, threads: int) -> None:
        """Start a process; threads are told before it loads a library."""
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        level = logging.getLogger("anatomaly").level
        task = self._task.with_threads(threads)
        process = spawn.Process(target=work, args=(theirs, task, level))
        with threads_of_libraries(threads):
            process.start()
        theirs.close()  # so that its death is an end of file
        self._workers.append(_Worker(process, ours, threads))

    def _listen(self, queue: JobQueue) -> Iterator[tuple[Job, Outcome]]:
        """Wait for word of the processes; yield what ended."""
        heard = wait([worker.connection for worker in self._workers])
        for worker in [worker for worker in self._workers if worker.connection in heard]:
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                yield from self._bury(worker, queue)
                continue
            job = worker.job
            if isinstance(message, AnatomalyError):
                if not self._were_ready:
                    raise message
                worker.why = str(message)
            elif message == READY:
                worker.is_ready = self._were_ready = True
            elif isinstance(message, logging.LogRecord):
                show_record(message, job or Job("", self._task.output))
            elif job is not None:
                worker.job = None
                yield job, message

    def _bury(self, worker: _Worker, queue: JobQueue) -> Iterator[tuple[Job, Outcome]]:
        """Replace a process that died; its scan is tried once more, behind all others.

        One that died before it was ready is not replaced: the next would die as well.
        """
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.join(PATIENCE_SECONDS)
        self._why = worker.why or why_it_died(worker.process.exitcode)
        if worker.is_ready:
            self._vacant.append(worker.threads)
        if (job := worker.job) is None:
            return
        self._tries[job.name] = self._tries.get(job.name, 0) + 1
        if self._tries[job.name] < TRIES:
            show_record(
                logging.makeLogRecord(
                    {
                        "name": __name__,
                        "levelno": logging.WARNING,
                        "msg": f"its process died ({self._why}); it is tried once more later",
                    }
                ),
                job,
            )
            queue.put_last(job)
        else:
            yield job, Outcome(kind="WorkerError", reason=why_it_failed(self._why))


def why_it_died(status: int | None) -> str:
    """Say in a few words how a process ended.

    >>> why_it_died(-9), why_it_died(3)
    ('SIGKILL', 'status 3')
    """
    if status is not None and status < 0:
        with suppress(ValueError):
            return signal.Signals(-status).name
    return "no status" if status is None else f"status {status}"


def why_it_failed(why: str) -> str:
    """Return the sentence for the table of failures."""
    remedy = {
        "SIGKILL": "most likely for want of memory; use fewer --jobs, or a machine with more",
        "SIGSEGV": "a library crashed on this scan; check the file, and try it alone",
    }.get(why, "try this scan alone, with --verbose")
    return f"the process that did it died {TRIES} times ({why}): {remedy}"


def work(connection: Connection, task: Task, level: int) -> None:
    """Do jobs that come through a pipe until it says None, or its other end is gone.

    Args:
        connection: receives jobs; sends records, an error of the weights, `READY` and outcomes.
        task: what is done with each job.
        level: of what is logged.
    """
    lock = threading.Lock()

    def send(message: Any) -> None:
        with lock:  # a thread may have something to log
            connection.send(message)

    with suppress(EOFError, ConnectionError), orderly_end(), Forwarder(send, level).listening():
        try:
            do = task.load()
        except AnatomalyError as error:
            return send(error)
        send(READY)
        while (job := connection.recv()) is not None:
            send(attempt(do, job))
    return None
