"""Configuration: frozen data, written beside every result."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from anatomaly.errors import ConfigError
from anatomaly.types import (
    EdgeOption,
    Polarity,
    ReuseOption,
    RouteOption,
    ScoreOption,
    SequenceOption,
)

BrainExtractionMethod = Literal["auto", "deepbet", "atlas", "stripped"]
DeviceOption = Literal["auto", "cpu", "cuda", "mps"]

RANGES: dict[str, tuple[float, float]] = {
    "rim_mm": (0.0, 50.0),
    "smoothing_mm": (0.0, 10.0),
    "ssim_sigma_mm": (0.1, 10.0),
    "gap_weight": (0.0, 1000.0),
    "grow_share": (0.001, 1.0),
}
"""What the numbers of a method may be."""

_OPTION_RANGES = {
    "threshold": (0.0, 1.0),
    "grow_share": RANGES["grow_share"],
    "min_lesion_mm3": (0.0, math.inf),
    "erosion_mm": RANGES["rim_mm"],
    "ssim_sigma_mm": RANGES["ssim_sigma_mm"],
    "smooth_sigma_mm": RANGES["smoothing_mm"],
}


def check_words(fields: object, words: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a field that says none of its words.

    Raises:
        ConfigError: names the field, what it may say and what it says.
    """
    for name, known in words.items():
        if (value := getattr(fields, name)) not in known:
            raise ConfigError(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, got {value}")


def check_ranges(
    fields: object, ranges: Mapping[str, tuple[float, float]], *, may_be_open: bool = False
) -> None:
    """Refuse a field that is no number of its range; `may_be_open` lets None pass.

    Raises:
        ConfigError: names the field, its range and its value.
    """
    for name, (low, high) in ranges.items():
        value = getattr(fields, name)
        if value is None and may_be_open:
            continue
        if not isinstance(value, int | float) or not low <= value <= high:
            raise ConfigError(f"{name} must lie in [{low:g}, {high:g}], got {value}")


@dataclass(frozen=True)
class PreprocessConfig:
    """How a scan is prepared.

    Attributes:
        bias_field: correct the bias field (N4).
        brain_extraction: `auto` keeps an already stripped brain, else deepbet, else the atlas mask.
        brain_mask: mask file on the scan's grid (or any grid that covers it) used instead.
        force: go on with a warning where the quality checks would refuse the scan.
    """

    bias_field: bool = True
    brain_extraction: BrainExtractionMethod = "auto"
    brain_mask: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class AnomalyConfig:
    """How the score becomes a map, a mask and a table; None is what the method does by itself.

    Attributes:
        polarity: which residuals count; `auto` is as the weights say, usually brighter for T2w and
            FLAIR, darker for T1w.
        score: see `method.Method`; `auto` is what the weights were validated with.
        threshold: on the anomaly map; None takes the weights' threshold for the sequence.
        grow_share: a finding that passes the threshold grows over connected voxels down to this
            share of it.
        min_lesion_mm3: smaller components of the mask are removed; at least 0.
        erosion_mm: rim of the brain mask that is not scored.
        ssim_sigma_mm: σ of the Gaussian window of the SSIM map, in mm.
        smooth_sigma_mm: σ of the Gaussian that smooths the score, in mm; 0 switches it off.

    Raises:
        ConfigError: a value is out of its range, `RANGES`.
    """

    polarity: Polarity = "auto"
    score: ScoreOption = "auto"
    threshold: float | None = None
    grow_share: float | None = None
    min_lesion_mm3: float = 20.0
    erosion_mm: float | None = None
    ssim_sigma_mm: float | None = None
    smooth_sigma_mm: float | None = None

    def __post_init__(self) -> None:
        check_words(self, {"polarity": get_args(Polarity), "score": get_args(ScoreOption)})
        check_ranges(self, _OPTION_RANGES, may_be_open=True)


@dataclass(frozen=True)
class DetectConfig:
    """Everything `detect` can be told.

    Attributes:
        sequence: T1w, T2w, FLAIR, or `auto` (the image where it is sure, else the file name).
        device: `auto` takes CUDA, else the CPU; `mps` (Apple) was never tried.
        threads: CPU threads of the networks; 0 leaves torch's choice.
        route: how the healthy anatomy is rebuilt: from `edges` (the method), from the
            `tissue_map` (the ablation without edges), `both` (what neither can explain is
            abnormal), or what the weights were validated with; see `method.Method`.
        edges: what the anatomy is restored from on that route: `canny` edges (the paper's, on or
            off), `oriented` ones (with the direction and height of the step between two tissues),
            or what the weights were validated with.
        reuse: how the scan's contrast is put back on it: `learned` (the method), `adjusted` (then
            fitted to the scan), `fitted` (by that fit alone), or what the weights were validated
            with.
        weights: name of bundled weights, or a folder with `model.safetensors` and `card.json`.
        atlas: label image in MNI152 space that names regions; None leaves the column empty.

    Raises:
        ConfigError: a value is out of its range.
    """

    sequence: SequenceOption = "auto"
    device: DeviceOption = "auto"
    threads: int = 0
    route: RouteOption = "auto"
    edges: EdgeOption = "auto"
    reuse: ReuseOption = "auto"
    weights: str = "default"
    atlas: Path | None = None
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    anomaly: AnomalyConfig = field(default_factory=AnomalyConfig)

    def __post_init__(self) -> None:
        words = {
            "sequence": get_args(SequenceOption),
            "device": get_args(DeviceOption),
            "route": get_args(RouteOption),
            "edges": get_args(EdgeOption),
            "reuse": get_args(ReuseOption),
        }
        check_words(self, words)
        if self.threads < 0:
            raise ConfigError(f"threads must be >= 0, got {self.threads}")


def grow_share_of(run: Mapping[str, Any]) -> float:
    """Return the share of the threshold down to which findings grew, of a `run.json`; else 1."""
    return float(run.get("config", {}).get("anomaly", {}).get("grow_share") or 1.0)


def edits_of(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what persons changed in the mask, of a `run.json`; none where it is the program's.

    >>> first = {"sha256_before": "a", "sha256_after": "b"}
    >>> back = {"sha256_before": "b", "sha256_after": "a"}
    >>> [len(edits_of({"corrected_by_hand": edits})) for edits in ([], [first], [first, back])]
    [0, 1, 0]
    """
    edits = list(run.get("corrected_by_hand") or ())
    is_back = bool(edits) and edits[-1]["sha256_after"] == edits[0]["sha256_before"]
    return [] if is_back else edits


USUAL_HEALTHY_ML, MOST_HEALTHY_ML = 1.0, 5.0
"""False positives that thresholds are set for: half of healthy scans have at most the first, 95 %
at most the second."""

GOOD_CONTROLS = 20
"""Healthy controls of a scanner from which on 95 % of them are fewer than all."""

OUTPUTS: tuple[str, ...] = (
    "anomaly_map",
    "anomaly_mask",
    "pseudo_healthy",
    "tissue_map",
    "brain_mask",
    "lesions",
    "labels",
    "overview",
    "report",
)
"""What a result folder holds beside `run.json` (always written), unless told otherwise."""

ASKED_OUTPUTS: tuple[str, ...] = ("dicom",)
"""Written only when named: they hold the patient's name, and need a DICOM scan."""
