"""Runs many scans: a bad one never stops the others, wherever they are done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from anatomaly.cli.engines import Engine
from anatomaly.cli.progress import Display
from anatomaly.cli.readiness import make_ready
from anatomaly.cli.work import Job, JobQueue, Outcome, load_weights
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
    jobs: Iterable[Job],
    engine: Engine,
    display: Display,
    ended: Callable[[Job, Outcome], Iterable[Job]] = lambda *_: (),
) -> list[Failure]:
    """Process every scan and collect what failed.

    Args:
        jobs: in the order in which they start; read one at a time.
        engine: does them; already entered.
        display: shows progress; already entered.
        ended: is told how each job ended; jobs that it returns are next.

    Returns:
        Failures in the order in which their scans started.
    """
    queue = JobQueue(jobs)
    order: dict[str, int] = {}
    open_jobs: dict[str, Job] = {}
    failures: dict[str, Failure] = {}

    def start(job: Job) -> None:
        order.setdefault(job.name, len(order))
        open_jobs[job.name] = job
        display.start_scan(job.name, beside_others=True)

    def end(job: Job, outcome: Outcome) -> None:
        open_jobs.pop(job.name, None)
        if outcome.kind:
            failures[job.name] = Failure(job.scan, outcome.kind, outcome.reason, outcome.trace)
        queue.put_first(ended(job, outcome))

    try:
        for job, outcome in engine.run(queue, start):
            _show(job, outcome, display)
            end(job, outcome)
    except AnatomalyError as error:  # all workers are lost: what is left is told, too
        display.fail(error)
        lost = Outcome(kind=type(error).__name__, reason=f"not done: {error}")
        for job in [*open_jobs.values(), *iter(queue.take, None)]:
            order.setdefault(job.name, len(order))
            end(job, lost)
    return [failures[name] for name in sorted(failures, key=order.__getitem__)]


def _show(job: Job, outcome: Outcome, display: Display) -> None:
    """Say how a job ended."""
    display.end_scan(job.name)
    display.warn(job.name, outcome.warnings)
    called = shown(job.name)
    if outcome.kind:
        display.line(f"{called}: FAILED: {outcome.kind}: {outcome.reason}", style="red")
    else:
        display.note(f"{called}: {outcome.said} ({outcome.seconds:.0f} s)", style="green")


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

    Returns:
        None after an error, which has been shown.
    """
    try:
        make_ready(output, display)
        return load_weights(config)
    except AnatomalyError as error:
        display.fail(error)
        return None
