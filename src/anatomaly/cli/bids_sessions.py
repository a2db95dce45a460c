"""Works through the sessions of a BIDS data set: each scan, then what they say together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from anatomaly.anomaly.atlas import Atlas, load_atlas
from anatomaly.bids.dataset import Derivatives
from anatomaly.bids.derivatives import is_finished, write_scan
from anatomaly.bids.session import fuse, read_own, scans_to_fuse
from anatomaly.bids.session_files import is_fused, withdraw_session, write_session
from anatomaly.cli.detect import describe
from anatomaly.cli.progress import Display
from anatomaly.cli.run_scans import Failure, load_detector, run_scans
from anatomaly.config import DetectConfig
from anatomaly.errors import OutputError
from anatomaly.names import shown
from anatomaly.scan.bids import BidsScan, BidsSession
from anatomaly.scan.fetched import refuse_unfetched

if TYPE_CHECKING:
    from anatomaly.pipeline import Detector


@dataclass
class SessionWorker:
    """Does one session after the other in this process.

    Attributes:
        out: where results go.
        config: of the detector.
        sequences: those whose scans are wanted; the session map takes all that are finished.
        redo: compute again what is finished.
        display: shows progress.
        doubtful: names of the scans and sessions of this run whose maps carry warnings.
    """

    out: Derivatives
    config: DetectConfig
    sequences: Collection[str]
    redo: bool
    display: Display
    detector: Detector | None = field(default=None, init=False)
    doubtful: list[str] = field(default_factory=list, init=False)

    def scans_to_do(self, session: BidsSession) -> dict[str, BidsScan]:
        """Return the wanted scans without a whole result, by name."""
        wanted = {scan.name: scan for scan in session.scans if scan.sequence in self.sequences}
        return {
            name: scan
            for name, scan in wanted.items()
            if self.redo or not is_finished(self.out.own_volume(session, scan, "anomaly_map"))
        }

    def load(self) -> bool:
        """Load the weights; return whether that went well. What went wrong has been shown."""
        self.detector = load_detector(self.config, self.out.root, self.display)
        return self.detector is not None

    def do(self, session: BidsSession) -> list[Failure]:
        """Detect in every scan to do, then fuse; return what failed, which is logged as well."""
        todo = self.scans_to_do(session)
        failures = run_scans(
            {name: scan.path for name, scan in todo.items()},
            lambda name, _: self._detect(todo[name], session),
            self.display,
        )
        self._log(failures, {scan.path: name for name, scan in todo.items()})
        ready = scans_to_fuse(session, self.out)
        place = self.out.source / session.folder
        if not ready or is_fused(ready, session, self.out):
            self._log([], {place: session.name})
            return failures
        self._tell_spare(session, ready)
        fusing = run_scans(
            {session.name: place}, lambda *_: self._fuse(ready, session), self.display
        )
        self._log(fusing, {place: session.name})
        return failures + fusing

    def _tell_spare(self, session: BidsSession, fused: list[BidsScan]) -> None:
        """Say which scans the session's map does not hold: it takes one of each sequence."""
        sequences = {scan.sequence for scan in fused}
        spare = [s.name for s in session.scans if s not in fused and s.sequence in sequences]
        if spare:
            self.display.note(
                f"{shown(session.name)}: the session's map takes one scan of each sequence, that "
                f"with the shortest name; not in it: {shown(', '.join(spare))}"
            )

    def _detect(self, scan: BidsScan, session: BidsSession) -> str:
        """Detect in one scan and write what was found; return a line about it."""
        if self.detector is None:
            raise RuntimeError("load() comes before do() where scans are to do")
        refuse_unfetched(scan.path)
        detection = self.detector.detect(
            scan.path, scan.sequence
        )  # the name is the data set's word
        self.display.warn(scan.name, detection.warnings)
        withdraw_session(session, self.out)
        write_scan(detection, scan, session, self.out)
        if detection.warnings:
            self.doubtful.append(scan.name)
        return describe(detection)

    def _fuse(self, scans: list[BidsScan], session: BidsSession) -> str:
        """Fuse a session and write it; return a line about it."""
        owns = [read_own(scan, session, self.out) for scan in scans]
        fused = fuse(owns, self.config.anomaly.min_lesion_mm3, self._atlas())
        write_session(fused, scans, session, self.out)
        self.display.warn(session.name, fused.warnings)
        if fused.warnings:
            self.doubtful.append(session.name)
        volume_ml = sum(lesion.volume_mm3 for lesion in fused.lesions) / 1000
        return f"{'+'.join(fused.sequences)}, {len(fused.lesions)} pieces, {volume_ml:.1f} mL"

    def _atlas(self) -> Atlas | None:
        """Return what names regions; read here where no scan was left to do."""
        if self.detector is not None:
            return self.detector.atlas
        return load_atlas(self.config.atlas) if self.config.atlas else None

    def _log(self, failures: list[Failure], names: dict[Path, str]) -> None:
        """Keep why a scan failed; forget what an earlier run wrote of one that did not."""
        failed = {failure.scan: failure for failure in failures}
        for path, name in names.items():
            record = None
            if why := failed.get(path):
                record = {
                    "scan": self.out.uri(path),
                    "error": why.kind,
                    "reason": " ".join(why.reason.split()),
                    "trace": why.trace,
                }
            try:
                self.out.write_log(name, record)
            except OutputError as error:
                self.display.line(f"{name}: no log: {error}", style="yellow")
