"""What `anatomaly detect` does with one scan, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anatomaly.cli.work import Done, Job, Task, load_weights
from anatomaly.config import edits_of
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
            return Done(said, tuple(detection.warnings), _row(job, folder, detection))

        return detect


def _row(job: Job, folder: Path, detection: Detection) -> dict[str, Any]:
    """Return what `--json` says of one scan."""
    return {
        "name": job.name,
        "scan": job.scan,
        "folder": folder,
        "sequence": detection.sequence,
        "threshold": detection.threshold,
        "lesions": len(detection.lesions),
        "volume_ml": sum(lesion.volume_mm3 for lesion in detection.lesions) / 1000,
        "warnings": detection.warnings,
    }


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
        source = _run_of(folder)["scan"]["source"]
    except (KeyError, TypeError):
        return ""
    same = not source or str(Path(source).absolute()) == shown(scan.absolute())
    return "" if same else str(source)


def what_is_replaced(folder: Path, scan: Path) -> str:
    """Say what of value a result folder holds; nothing where it may go."""
    if other := scan_of_result(folder, scan):
        return f"replaces the result of {other}"
    if edits_of(_run_of(folder)):
        return "replaces a result whose mask was corrected by hand"
    return ""


def _run_of(folder: Path) -> dict[str, Any]:
    """Return what an older `run.json` holds, nothing where it cannot be read."""
    try:
        run = json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}
