"""A pipeline that takes no time: reads nothing, writes a small result, fails on request."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nibabel as nib
import numpy as np

from anatomaly.config import DetectConfig
from anatomaly.errors import ScanError, WeightsError
from anatomaly.scan.read import scan_name
from anatomaly.volume import Volume


@dataclass
class FakeDetection:
    scan: SimpleNamespace
    anomaly_mask: Volume | None = None
    sequence: str = "T1w"
    threshold: float = 0.4
    lesions: tuple = (SimpleNamespace(volume_mm3=1500.0), SimpleNamespace(volume_mm3=250.0))
    warnings: tuple = ()

    def save(self, folder: Path, outputs: set[str] | None = None) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_text(str(sorted(outputs) if outputs else outputs))
        return folder


@dataclass
class FakeDetector:
    """What a scan's name says happens: `broken`, `bug`, `hungry`, `doubtful`."""

    config: DetectConfig = field(default_factory=DetectConfig)

    seen = []  # noqa: RUF012 (tests read what was asked for)

    def __post_init__(self):
        if self.config.weights == "missing":
            raise WeightsError("no weights called missing")

    def detect(self, path: Path) -> FakeDetection:
        FakeDetector.seen.append((Path(path), self.config))
        for stage in ("scan", "prepare", "rebuild"):
            logging.getLogger("anatomaly.stage").info(stage)
        name = scan_name(Path(path))
        if "broken" in name:
            raise ScanError(f"{path}: no [such] scan; check the path")
        if "bug" in name:
            raise ZeroDivisionError("division by zero")
        if "hungry" in name:
            raise MemoryError
        warnings = ("registration is poor",) if "doubtful" in name else ()
        planted = Path(str(path).replace(".nii.gz", "_planted.nii.gz"))
        mask = None
        if planted.is_file():  # the demo: find the planted lesion, grown by nothing
            image = nib.load(planted)
            mask = Volume(np.asarray(image.dataobj), image.affine)
        return FakeDetection(SimpleNamespace(name=name), mask, warnings=warnings)


def fake_module() -> ModuleType:
    module = ModuleType("anatomaly.pipeline")
    module.Detector = FakeDetector
    FakeDetector.seen = []
    return module
