"""What `anatomaly-bids` does with one scan, and with one session whose scans are done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from anatomaly.cli.work import Done, Job, Task, load_weights

if TYPE_CHECKING:
    from anatomaly.anomaly.atlas import Atlas
    from anatomaly.pipeline import Detector
    from anatomaly.scan.bids import BidsScan, BidsSession


@dataclass(frozen=True)
class SessionTask(Task):
    """Detects in a scan, or fuses a session, and writes derivatives.

    The subject of a job is a scan and its session, or the scans to fuse and their session.

    Attributes:
        source: root of the raw data set; `output` is that of the derivatives.
        detects: whether any scan is to do; else no weights are loaded.
    """

    source: Path = Path()
    detects: bool = True

    def anywhere(self) -> Self:
        """Return the task for another working folder."""
        return replace(super().anywhere(), source=self.source.absolute())

    def load(self) -> Callable[[Job], Done]:
        """Load the weights, if they are needed, and return what does a scan or a session."""
        detector = load_weights(self.config) if self.detects else None

        def do(job: Job) -> Done:
            subject, session = job.subject
            if isinstance(subject, list):
                return self._fuse(subject, session, detector)
            if detector is None:
                raise RuntimeError("a task that detects loads the weights")
            return self._detect(detector, subject, session)

        return do

    def _detect(self, detector: Detector, scan: BidsScan, session: BidsSession) -> Done:
        """Detect in one scan and write what was found."""
        from anatomaly.bids.dataset import Derivatives
        from anatomaly.bids.derivatives import write_scan
        from anatomaly.bids.session_files import withdraw_session
        from anatomaly.cli.detect_task import describe
        from anatomaly.scan.fetched import refuse_unfetched

        out = Derivatives(self.source, self.output)
        refuse_unfetched(scan.path)
        detection = detector.detect(scan.path, scan.sequence)  # the name is the data set's word
        withdraw_session(session, out)
        write_scan(detection, scan, session, out)
        return Done(describe(detection), tuple(detection.warnings))

    def _fuse(self, scans: list[BidsScan], session: BidsSession, detector: Detector | None) -> Done:
        """Fuse a session and write it."""
        from anatomaly.bids.dataset import Derivatives
        from anatomaly.bids.session import fuse, read_own
        from anatomaly.bids.session_files import write_session

        out = Derivatives(self.source, self.output)
        owns = [read_own(scan, session, out) for scan in scans]
        fused = fuse(owns, self.config.anomaly.min_lesion_mm3, self._atlas(detector))
        write_session(fused, scans, session, out)
        volume_ml = sum(lesion.volume_mm3 for lesion in fused.lesions) / 1000
        said = f"{'+'.join(fused.sequences)}, {len(fused.lesions)} pieces, {volume_ml:.1f} mL"
        return Done(said, tuple(fused.warnings))

    def _atlas(self, detector: Detector | None) -> Atlas | None:
        """Return what names regions; read here where no scan was left to do."""
        from anatomaly.anomaly.atlas import load_atlas

        if detector is not None:
            return detector.atlas
        return load_atlas(self.config.atlas) if self.config.atlas else None
