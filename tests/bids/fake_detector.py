"""A detector that takes no time: finds a ball in the middle of a head, fails on request."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np

from anatomaly.anomaly.lesions import tabulate_lesions, write_lesions_tsv
from anatomaly.config import DetectConfig
from anatomaly.errors import ScanError
from anatomaly.preprocess.resample import resample_to_template
from anatomaly.scan.read import read_scan
from anatomaly.volume import Scan, Volume

SHAPE, SPACING_MM = (40, 50, 30), (4.0, 4.0, 5.0)
BALL_MM = 12.0


def places_mm(volume: Volume) -> np.ndarray:
    """(I, J, K, 3) mm from the middle of the grid, along its axes."""
    grid = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), -1)
    return (grid - (np.array(volume.shape) - 1) / 2) * volume.spacing_mm


def write_head(path: Path, moved_by=None) -> Path:
    """Write a noisy ellipsoid as a scan, in a scanner space of its own if `moved_by` is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*SPACING_MM, 1.0])
    affine[:3, 3] = (-70.0, -80.0, -60.0)
    inside = brain_of(Volume(np.zeros(SHAPE), affine))
    noise = np.random.default_rng(0).normal(100, 10, SHAPE)
    data = np.where(inside, noise, 5 + noise / 20).astype(np.float32)
    image = nib.Nifti1Image(data, affine if moved_by is None else moved_by @ affine)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


def brain_of(volume: Volume) -> np.ndarray:
    return ((places_mm(volume) / (55.0, 70.0, 55.0)) ** 2).sum(-1) < 1


def laid_in_template(score: Volume) -> np.ndarray:
    """The map on the working grid, as if scanner and template space were one."""
    return resample_to_template(score, np.eye(4)).data


class FakeDetection(SimpleNamespace):
    def save(self, folder: Path, outputs: set[str]) -> Path:
        assert outputs == {"lesions", "overview", "report"}
        folder.mkdir(parents=True, exist_ok=True)
        write_lesions_tsv(folder / "lesions.tsv", self.lesions)
        (folder / "run.json").write_text(json.dumps(self.run))
        return folder


def make_detection(scan: Scan, threshold: float = 0.4, centre_mm=(0.0, 0.0, 0.0)) -> FakeDetection:
    """Find a ball, its centre in mm from the middle: score .8 in it, .1 elsewhere in the brain."""
    volume = scan.volume
    brain = brain_of(volume)
    ball = ((places_mm(volume) - centre_mm) ** 2).sum(-1) < BALL_MM**2
    score = volume.with_data(np.where(ball, 0.8, 0.1 * brain).astype(np.float32))
    mask = volume.with_data(ball.astype(np.uint8))
    affine = np.eye(4)
    return FakeDetection(
        steps=SimpleNamespace(anomaly_map=laid_in_template(score)),
        scan=scan,
        sequence=scan.sequence_hint,
        anomaly_map=score,
        anomaly_mask=mask,
        pseudo_healthy=volume,
        tissue_map=volume.with_data((brain * 2).astype(np.uint8)),
        brain_mask=volume.with_data(brain.astype(np.uint8)),
        lesions=tabulate_lesions(score, mask, volume, affine),
        threshold=threshold,
        warnings=("a doubt",),
        run={
            "scan": {"name": scan.name},
            "sequence": scan.sequence_hint,
            "weights": {"name": "fake", "date": "2026-01-01", "sha256": "0" * 64},
            "config": asdict(DetectConfig()),
            "device": "cpu",
            "polarity": "both",
            "seconds": {"read": 0.1},
            "versions": {"anatomaly": "0", "python": "3"},
            "threshold": threshold,
            "warnings": ["a doubt"],
            "preparation": {
                "scanner_to_template": affine.tolist(),
                "quality": {"brain_ml": 1234.0},
                "steps": [],
            },
        },
    )


class FakeDetector:
    atlas = None

    def __init__(self):
        self.seen = []

    def detect(self, path: Path, sequence: str | None = None) -> FakeDetection:
        self.seen.append(path.name)
        if path.stat().st_size < 100:
            raise ScanError(f"{path}: broken")
        return make_detection(read_scan(path))
