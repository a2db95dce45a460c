"""Works through the sessions of a BIDS data set: each scan, then what they say together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anatomaly.bids.dataset import Derivatives
from anatomaly.bids.derivatives import is_finished
from anatomaly.bids.session import scans_to_fuse
from anatomaly.bids.session_files import is_fused
from anatomaly.cli.engines import Engine
from anatomaly.cli.progress import Display
from anatomaly.cli.run_scans import Failure, run_scans
from anatomaly.cli.work import Job, Outcome
from anatomaly.errors import OutputError
from anatomaly.names import shown
from anatomaly.scan.bids import BidsScan, BidsSession


@dataclass
class SessionWork:
    """What there is to do in a data set; a session follows when the last of its scans has ended.

    Attributes:
        out: where results go.
        sequences: those whose scans are wanted; the session map takes all that are finished.
        redo: compute again what is finished.
        display: shows progress.
        doubtful: names of the scans and sessions of this run whose maps carry warnings.
    """

    out: Derivatives
    sequences: Collection[str]
    redo: bool
    display: Display
    doubtful: list[str] = field(default_factory=list, init=False)
    _open: dict[str, set[str]] = field(default_factory=dict, init=False)
    """By name of a session: its scans that have not ended."""

    def scans_to_do(self, session: BidsSession) -> dict[str, BidsScan]:
        """Return the wanted scans without a whole result, by name."""
        wanted = {scan.name: scan for scan in session.scans if scan.sequence in self.sequences}
        return {
            name: scan
            for name, scan in wanted.items()
            if self.redo or not is_finished(self.out.own_volume(session, scan, "anomaly_map"))
        }

    def do(self, sessions: Iterable[BidsSession], engine: Engine) -> list[Failure]:
        """Detect in every scan to do, fuse every session; return what failed, logged as well."""
        return run_scans(self._jobs(sessions), engine, self.display, self._ended)

    def _jobs(self, sessions: Iterable[BidsSession]) -> Iterator[Job]:
        """Yield the scans to do of each session, or its fusion where none is left."""
        for session in sessions:
            todo = self.scans_to_do(session)
            self._open[session.name] = set(todo)
            for name, scan in todo.items():
                yield Job(name, scan.path, (scan, session))
            if not todo:
                yield from self._fusion(session)

    def _ended(self, job: Job, outcome: Outcome) -> Sequence[Job]:
        """Log how a job ended; return the fusion of its session if that can follow now."""
        self._log(job.name, job.scan, outcome)
        if outcome.warnings:
            self.doubtful.append(job.name)
        session = job.subject[1]
        left = self._open.get(session.name, set())
        if job.name not in left:
            return ()
        left.remove(job.name)
        return () if left else self._fusion(session)

    def _fusion(self, session: BidsSession) -> Sequence[Job]:
        """Return what fuses a session, if there is anything new to fuse."""
        self._open.pop(session.name, None)
        ready = scans_to_fuse(session, self.out)
        place = self.out.source / session.folder
        if not ready or is_fused(ready, session, self.out):
            self._log(session.name, place)
            return ()
        self._tell_spare(session, ready)
        return [Job(session.name, place, (ready, session))]

    def _tell_spare(self, session: BidsSession, fused: list[BidsScan]) -> None:
        """Say which scans the session's map does not hold: it takes one of each sequence."""
        sequences = {scan.sequence for scan in fused}
        spare = [s.name for s in session.scans if s not in fused and s.sequence in sequences]
        if spare:
            self.display.note(
                f"{shown(session.name)}: the session's map takes one scan of each sequence, that "
                f"with the shortest name; not in it: {shown(', '.join(spare))}"
            )

    def _log(self, name: str, path: Path, outcome: Outcome | None = None) -> None:
        """Keep why a scan failed; forget what an earlier run wrote of one that did not."""
        record = None
        if outcome and outcome.kind:
            record = {
                "scan": self.out.uri(path),
                "error": outcome.kind,
                "reason": " ".join(outcome.reason.split()),
                "trace": outcome.trace,
            }
        try:
            self.out.write_log(name, record)
        except OutputError as error:
            self.display.line(f"{name}: no log: {error}", style="yellow")
