"""Configuration: frozen data, written beside every result."""

from __future__ import annotations

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
            share of it, in (0, 1].
        min_lesion_mm3: smaller components of the mask are removed; at least 0.
        erosion_mm: rim of the brain mask that is not scored; at least 0.
        ssim_sigma_mm: σ of the Gaussian window of the SSIM map, in mm; above 0, at most 10.
        smooth_sigma_mm: σ of the Gaussian that smooths the score, in mm; 0 switches it off.

    Raises:
        ConfigError: a value is out of its range.
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
        if self.polarity not in get_args(Polarity):
            raise ConfigError(
                f"polarity must be auto, both, brighter or darker, got {self.polarity}"
            )
        if self.score not in get_args(ScoreOption):
            raise ConfigError(f"score must be in {get_args(ScoreOption)}, got {self.score}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold must lie in [0, 1], got {self.threshold}")
        if self.grow_share is not None and not 0 < self.grow_share <= 1:
            raise ConfigError(f"grow_share must lie in (0, 1], got {self.grow_share}")
        if self.min_lesion_mm3 < 0 or (self.erosion_mm or 0) < 0:
            raise ConfigError("min_lesion_mm3 and erosion_mm must be >= 0")
        if self.ssim_sigma_mm is not None and not 0 < self.ssim_sigma_mm <= 10:
            raise ConfigError(f"ssim_sigma_mm must lie in (0, 10], got {self.ssim_sigma_mm}")
        if not 0 <= (self.smooth_sigma_mm or 0) <= 10:
            raise ConfigError(f"smooth_sigma_mm must lie in [0, 10], got {self.smooth_sigma_mm}")


@dataclass(frozen=True)
class DetectConfig:
    """Everything `detect` can be told.

    Attributes:
        sequence: T1w, T2w, FLAIR, or `auto` (the image where it is sure, else the file name).
        device: `auto` takes CUDA, then Apple's MPS, then the CPU.
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
        if self.sequence not in get_args(SequenceOption):
            raise ConfigError(f"sequence must be auto, T1w, T2w or FLAIR, got {self.sequence}")
        if self.device not in get_args(DeviceOption):
            raise ConfigError(f"device must be auto, cpu, cuda or mps, got {self.device}")
        if self.route not in get_args(RouteOption):
            raise ConfigError(f"route must be in {get_args(RouteOption)}, got {self.route}")
        if self.edges not in get_args(EdgeOption):
            raise ConfigError(f"edges must be in {get_args(EdgeOption)}, got {self.edges}")
        if self.reuse not in get_args(ReuseOption):
            raise ConfigError(f"reuse must be in {get_args(ReuseOption)}, got {self.reuse}")
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
