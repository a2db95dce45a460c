"""Runs many scans one after the other: a bad one never stops the others."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from anatomaly.cli.progress import Display
from anatomaly.cli.readiness import make_ready
from anatomaly.config import DetectConfig
from anatomaly.errors import AnatomalyError
from anatomaly.names import shown, writable
from anatomaly.report.manifest import write_whole

if TYPE_CHECKING:
    from anatomaly.pipeline import Detector

FAILURES_FILE, LOG_FILE = "failures.tsv", "failures.log"


@dataclass(frozen=True)
class Failure:
    """Why a scan gave no result; `trace` is empty for errors that are not ours to mend."""

    scan: Path
    kind: str
    reason: str
    trace: str = ""

    @property
    def row(self) -> dict[str, str]:
        """What a line of `failures.tsv` says, column to text."""
        reason = " ".join(self.reason.split())
        return {"scan": shown(self.scan), "error": self.kind, "reason": reason}


def run_scans(
    scans: dict[str, Path], process: Callable[[str, Path], str], display: Display
) -> list[Failure]:
    """Process every scan and collect what failed.

    Args:
        scans: result name to scan.
        process: takes a name and a scan, writes the result and returns one line about it.
        display: shows progress; already entered.

    Returns:
        Failures in the order of the scans.
    """
    failures = []
    for name, scan in scans.items():
        display.start_scan(name)
        called = shown(name)
        started = time.monotonic()
        try:
            said = process(name, scan)
        except AnatomalyError as error:
            failures.append(Failure(scan, type(error).__name__, str(error)))
        except MemoryError:
            reason = "not enough memory; close other programs or use a machine with more"
            failures.append(Failure(scan, "MemoryError", reason, traceback.format_exc()))
        except Exception as error:  # a defect of ours must not cost the rest of a cohort
            reason = f"unexpected: {error}" if str(error) else "unexpected"
            failures.append(
                Failure(scan, type(error).__name__, reason, trace=traceback.format_exc())
            )
        else:
            display.note(f"{called}: {said} ({time.monotonic() - started:.0f} s)", style="green")
            continue
        failure = failures[-1]
        display.line(f"{called}: FAILED: {failure.kind}: {failure.reason}", style="red")
    return failures


def report_failures(failures: list[Failure], scans: Collection[Path], output: Path) -> None:
    """Print a table of what failed and why, and keep it beside the results of a cohort.

    Args:
        failures: of this run.
        scans: that this run tried.
        output: with more than one scan the table is also `failures.tsv` there; traces of unexpected
            errors go to `failures.log`. What an earlier run says of other scans stays.
    """
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        write_failure_files(failures, scans, output)
    except (AnatomalyError, OSError) as error:  # a full disk, which may be why scans failed
        console.print(writable(f"no {FAILURES_FILE}: {error}"))
        for failure in failures:
            console.print(writable(failure.trace), end="")
    else:
        if any(failure.trace for failure in failures):
            console.print(f"Details of unexpected errors: {shown(output / LOG_FILE)}")
    show_failures(failures, len(scans))


def show_failures(failures: list[Failure], total: int) -> None:
    """Print a table of what failed and why; one scan alone has been told of already."""
    if not failures or total == 1:
        return
    console = Console(stderr=True, highlight=False)
    width = None if console.is_terminal else 160
    table = Table(title=f"{len(failures)} of {total} scans failed", title_justify="left")
    for column in ("scan", "error", "why, and what to do"):
        table.add_column(column, overflow="fold")
    for failure in failures:
        cells = (shown(failure.scan), failure.kind, writable(failure.reason))
        table.add_row(*(console.render_str(cell, markup=False, emoji=False) for cell in cells))
    console.print(table, width=width)


def write_failure_files(failures: list[Failure], scans: Collection[Path], output: Path) -> None:
    """Write, or remove, `failures.tsv` and `failures.log`; see `report_failures`."""
    earlier = _earlier_failures(output / FAILURES_FILE, scans)
    rows = ["\t".join(failure.row.values()) for failure in failures]
    traces = [f"{shown(failure.scan)}\n{failure.trace}" for failure in failures if failure.trace]
    is_cohort = len(scans) > 1 or earlier is not None
    rows = [*(earlier or ()), *rows] if is_cohort else []
    table = "\n".join(["scan\terror\treason", *rows]) + "\n" if rows else ""
    wanted = {FAILURES_FILE: table, LOG_FILE: "\n".join(traces)}
    for name, text in wanted.items():
        if text:
            output.mkdir(parents=True, exist_ok=True)
            write_whole(output / name, text)
        elif name == FAILURES_FILE or not earlier:
            (output / name).unlink(missing_ok=True)


def _earlier_failures(table: Path, scans: Collection[Path]) -> list[str] | None:
    """Return lines of an earlier table about scans that this run did not try; None without one."""
    try:
        lines = table.read_text("utf-8").splitlines()[1:]
    except (OSError, ValueError):
        return None
    tried = {shown(scan) for scan in scans}
    return [line for line in lines if line.split("\t")[0] not in tried]


def load_detector(config: DetectConfig, output: Path, display: Display) -> Detector | None:
    """Check what the work needs, then load the weights once for all scans.

    Here, and not at the top of the program, because torch takes seconds to import.

    Returns:
        None after an error, which has been shown.
    """
    try:
        make_ready(output, display)
        from anatomaly.networks import keep_freed_memory
        from anatomaly.pipeline import Detector

        keep_freed_memory()
        return Detector(config)
    except AnatomalyError as error:
        display.fail(error)
        return None
