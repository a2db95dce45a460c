"""What a run shows while it works: a bar on a terminal, plain lines in a log.

Stages announce themselves by `logging.getLogger("anatomaly.stage").info("prepare")`, so that
the program does not know the stages and the stages do not know the program.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from types import TracebackType
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
        self._scan, self._number = "", 0
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.stop()
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)

    def start_scan(self, name: str) -> None:
        """Say which scan is next."""
        self._number += 1
        self._scan = shown(name)
        if self._progress:
            self._progress.update(
                self._task,
                completed=(self._number - 1) * STAGES,
                description=f"[{self._number}/{self.total}] {self._scan}",
            )

    def emit(self, record: logging.LogRecord) -> None:
        """Show a stage as progress and everything else as a line."""
        text = record.getMessage()
        if record.name == STAGE_LOGGER:
            self._show_stage(text)
        elif record.levelno >= logging.WARNING or self.verbose:
            self.line(f"{self._scan}: {text}", style="yellow" if record.levelno > 20 else None)

    def _show_stage(self, stage: str) -> None:
        """Move the bar, or write a line where there is none."""
        where = f"[{self._number}/{self.total}] {self._scan}: {stage}"
        if self._progress:
            self._progress.update(self._task, advance=1, description=where)
        elif not self.quiet:
            self.line(f"{time.strftime('%H:%M:%S')} {where}")

    def note(self, text: str, style: str | None = None) -> None:
        """Write one line unless the user wants quiet."""
        if not self.quiet:
            self.line(text, style)

    def line(self, text: str, style: str | None = None) -> None:
        """Write one line, above the bar if there is one; a stream that is gone costs no result."""
        with suppress(OSError, ValueError):
            self.console.print(writable(text), style=style)
