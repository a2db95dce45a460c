"""What is done with scans, wherever that happens: jobs, the task that does them, how they ended."""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from anatomaly.config import DetectConfig
from anatomaly.errors import AnatomalyError

if TYPE_CHECKING:
    from anatomaly.pipeline import Detector

C = TypeVar("C")


@dataclass(frozen=True)
class Job:
    """One scan to do, or what follows from several.

    Attributes:
        name: of the result; no other job has it.
        scan: path, as the user gave it.
        subject: what the task has to know besides; it can be pickled.
    """

    name: str
    scan: Path
    subject: Any = None


@dataclass(frozen=True)
class Done:
    """What a job says when it went well: one line, what speaks against its result, and its row.

    `row` is what `--json` says of it: words and numbers by name.
    """

    said: str
    warnings: tuple[str, ...] = ()
    row: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a job ended; `kind` is the name of an error, empty where there was none.

    `trace` is empty for errors that are not ours to mend.
    """

    said: str = ""
    warnings: tuple[str, ...] = ()
    row: dict[str, Any] = field(default_factory=dict)
    kind: str = ""
    reason: str = ""
    trace: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Task(ABC):
    """What is done with every job; it can be pickled, so it travels to where that happens.

    Attributes:
        config: of the detector.
        output: folder that results go to.
    """

    config: DetectConfig
    output: Path

    @abstractmethod
    def load(self) -> Callable[[Job], Done]:
        """Load the weights, once a process; return what does one job and writes its result.

        Raises:
            AnatomalyError: no scan at all can be done.
        """

    def with_threads(self, threads: int) -> Self:
        """Return the task for networks that use so many CPU threads."""
        return replace(self, config=replace(self.config, threads=threads))

    def anywhere(self) -> Self:
        """Return the task for another working folder: what exists is named by its whole path."""
        config = absolute_paths(self.config)
        if Path(config.weights).is_dir():
            config = replace(config, weights=str(Path(config.weights).absolute()))
        return replace(self, config=config, output=self.output.absolute())


class JobQueue:
    """Jobs in the order in which they start; more may join while others are done.

    Args:
        jobs: taken one at a time, when something is free to do it.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = iter(jobs)
        self._first: deque[Job] = deque()
        self._last: deque[Job] = deque()

    def take(self) -> Job | None:
        """Return the next job, None where there is none now."""
        if self.is_empty():
            return None
        return self._first.popleft() if self._first else self._last.popleft()

    def is_empty(self) -> bool:
        """Return whether there is no job now."""
        if not self._first and (job := next(self._jobs, None)) is not None:
            self._first.append(job)
        return not self._first and not self._last

    def put_first(self, jobs: Iterable[Job]) -> None:
        """Let jobs follow that an outcome gave rise to, before all others."""
        self._first.extendleft(reversed(list(jobs)))

    def put_last(self, job: Job) -> None:
        """Let a job be tried again when all others have started."""
        self._last.append(job)


def attempt(do: Callable[[Job], Done], job: Job) -> Outcome:
    """Do a job; whatever goes wrong becomes its outcome, so that it costs no other job."""
    started = time.monotonic()
    try:
        done = do(job)
    except AnatomalyError as error:
        failed = Outcome(kind=type(error).__name__, reason=str(error))
    except MemoryError:
        reason = "not enough memory; close other programs or use a machine with more"
        failed = Outcome(kind="MemoryError", reason=reason, trace=traceback.format_exc())
    except Exception as error:  # a defect of ours must not cost the rest of a cohort
        reason = f"unexpected: {error}" if str(error) else "unexpected"
        failed = Outcome(kind=type(error).__name__, reason=reason, trace=traceback.format_exc())
    else:
        return Outcome(done.said, done.warnings, done.row, seconds=time.monotonic() - started)
    return replace(failed, seconds=time.monotonic() - started)


def load_weights(config: DetectConfig) -> Detector:
    """Load the weights into this process.

    Here, and not at the top of the program, because torch takes seconds to import.

    Raises:
        AnatomalyError: weights, device or atlas cannot be used.
    """
    from anatomaly.networks import keep_freed_memory
    from anatomaly.pipeline import Detector

    keep_freed_memory()
    return Detector(config)


def absolute_paths(config: C) -> C:
    """Return a configuration, parts included, whose paths do not depend on the working folder."""
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"expected a configuration, got {config!r}")
    changes: dict[str, Any] = {}
    for entry in fields(config):
        value = getattr(config, entry.name)
        if isinstance(value, Path):
            changes[entry.name] = value.absolute()
        elif is_dataclass(value):
            changes[entry.name] = absolute_paths(value)
    return replace(config, **changes)
