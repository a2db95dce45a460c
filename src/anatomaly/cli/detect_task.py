"""What `anatomaly detect` does with one scan, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anatomaly.cli.work import Done, Job, Task, load_weights
from anatomaly.names import shown

if TYPE_CHECKING:
    from anatomaly.detection import Detection


@dataclass(frozen=True)
class DetectTask(Task):
    """Detects in a scan and writes its result folder.

    Attributes:
        outputs: what to write, see `Detection.save`; None is all.
    """

    outputs: frozenset[str] | None = None

    def load(self) -> Callable[[Job], Done]:
        """Load the weights and return what detects in one scan."""
        detector = load_weights(self.config)

        def detect(job: Job) -> Done:
            detection = detector.detect(job.scan)
            folder = detection.save(
                self.output / job.name, None if self.outputs is None else set(self.outputs)
            )
            page = folder / "report.html"
            said = f"{describe(detection)} -> {shown(page if page.is_file() else folder)}"
            return Done(said, tuple(detection.warnings))

        return detect


def describe(detection: Detection) -> str:
    """Say in a few words what was found."""
    lesions = detection.lesions
    if not lesions:
        return f"{detection.sequence}, nothing above the threshold {detection.threshold:.2f}"
    volume_ml = sum(lesion.volume_mm3 for lesion in lesions) / 1000
    count = "1 lesion" if len(lesions) == 1 else f"{len(lesions)} lesions"
    return f"{detection.sequence}, {count}, {volume_ml:.1f} mL"


def scan_of_result(folder: Path, scan: Path) -> str:
    """Return which other scan a result folder is of; empty if it is this one's, or none."""
    try:
        source = json.loads((folder / "run.json").read_text("utf-8"))["scan"]["source"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    same = not source or str(Path(source).absolute()) == shown(scan.absolute())
    return "" if same else str(source)
