"""What a worker makes of the process that it runs in: threads of libraries, where logs go."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anatomaly.cli.work import Job

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
"""What torch, niimath, numpy and scipy read when they are loaded or started."""


@contextmanager
def threads_of_libraries(threads: int, keep_users: bool = False) -> Iterator[None]:
    """Let libraries that are loaded, and programs that are started, inside the block use so many.

    Args:
        threads: from 1; 0 changes nothing.
        keep_users: leave variables alone that are set already.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    chosen = [name for name in before if not (keep_users and before[name])] if threads else []
    os.environ.update(dict.fromkeys(chosen, str(threads)))
    try:
        yield
    finally:
        for name in chosen:
            os.environ.pop(name)
            if (value := before[name]) is not None:
                os.environ[name] = value


class Forwarder(logging.Handler):
    """Passes on what the package logs in a worker, as records that can be pickled.

    Args:
        tell: receives them.
        level: of the display that shows them.
    """

    def __init__(self, tell: Callable[[logging.LogRecord], None], level: int) -> None:
        super().__init__(level)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on, its arguments filled in."""
        record.msg, record.args = record.getMessage(), None
        record.exc_info = record.exc_text = record.stack_info = None
        self._tell(record)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Pass on what is logged inside the block."""
        logger = logging.getLogger("anatomaly")
        before = logger.level
        logger.setLevel(self.level)
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.setLevel(before)


def show_record(record: logging.LogRecord, job: Job) -> None:
    """Hand a worker's record to the display of this process, with the name of its scan."""
    record.scan = job.name
    logging.getLogger(record.name).handle(record)
