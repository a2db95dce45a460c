"""What a run shows while it works: a bar on a terminal, plain lines in a log.

Stages announce themselves by `logging.getLogger("anatomaly.stage").info("prepare")`, so that
the program does not know the stages and the stages do not know the program.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from anatomaly.names import shown, writable

STAGE_LOGGER = "anatomaly.stage"
STAGES = 6
"""How many announcements one scan makes; only the length of the bar depends on it."""


class Display(logging.Handler):
    """Shows scans and their stages on standard error; results go to standard output.

    Args:
        total: number of scans.
        quiet: show nothing but warnings and errors.
        verbose: also show what the stages log.
    """

    def __init__(self, total: int, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__(logging.DEBUG if verbose else logging.INFO)
        self.console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self.total, self.quiet, self.verbose = total, quiet, verbose
        self._scan = ""
        self._numbers: dict[str, int] = {}
        self._stages: dict[str, int] = {}
        self._ended = 0
        self._progress: Progress | None = None
        if sys.stderr.isatty() and not quiet:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self._task = self._progress.add_task("starting", total=total * STAGES)

    def __enter__(self) -> Self:
        self._logger = logging.getLogger("anatomaly")
        self._level = self._logger.level
        self._logger.setLevel(self.level)
        self._logger.addHandler(self)
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)

    def start_scan(self, name: str, beside_others: bool = False) -> None:
        """Say which scan is next.

        Args:
            name: of its result.
            beside_others: whether scans that started before may still run.
        """
        if not beside_others:
            for earlier in list(self._stages):
                self.end_scan(earlier)
        self._scan = name
        self._numbers.setdefault(name, len(self._numbers) + 1)
        self._stages[name] = 0
        self._show_bar(self._where(name))

    def end_scan(self, name: str) -> None:
        """Count a scan as done, however many stages it announced."""
        self._ended += self._stages.pop(name, None) is not None
        self._show_bar()

    def emit(self, record: logging.LogRecord) -> None:
        """Show a stage as progress and everything else as a line."""
        text = record.getMessage()
        name = getattr(record, "scan", self._scan)  # a worker's record names its scan
        if record.name == STAGE_LOGGER:
            where = f"{self._where(name)}: {text}"
            if name in self._stages:
                self._stages[name] = min(self._stages[name] + 1, STAGES)
            if self._progress:
                self._show_bar(where)
            else:
                self.note(f"{time.strftime('%H:%M:%S')} {where}")
        elif record.levelno >= logging.WARNING or self.verbose:
            self.line(f"{shown(name)}: {text}", style="yellow" if record.levelno > 20 else None)

    def _where(self, name: str) -> str:
        """Return a scan's number and name."""
        return f"[{self._numbers.get(name, 0)}/{self.total}] {shown(name)}"

    def _show_bar(self, where: str | None = None) -> None:
        """Draw the bar, if there is one."""
        if self._progress:
            stages = self._ended * STAGES + sum(self._stages.values())
            self._progress.update(self._task, completed=stages, description=where)

    def note(self, text: str, style: str | None = None) -> None:
        """Write one line unless the user wants quiet."""
        if not self.quiet:
            self.line(text, style)

    def warn(self, name: str, warnings: Iterable[str]) -> None:
        """Write a line for each warning about a scan."""
        for warning in warnings:
            self.line(f"{shown(name)}: warning: {warning}", style="yellow")

    def fail(self, error: Exception) -> None:
        """Write what stops the work."""
        self.line(f"{type(error).__name__}: {error}", style="red")

    def line(self, text: str, style: str | None = None) -> None:
        """Write one line, above the bar if there is one; a stream that is gone costs no result."""
        with suppress(OSError, ValueError):
            self.console.print(writable(text), style=style)


def make_console(width: int) -> Console:
    """Return a console for tables; where there is no terminal it is `width` characters wide."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = width
    return console
