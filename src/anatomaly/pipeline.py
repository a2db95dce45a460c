"""START HERE: one scan in, the anomaly in the scan's own space out; one line per stage."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from torch import Tensor

from anatomaly.anomaly.atlas import Atlas, load_atlas
from anatomaly.anomaly.hybrid_score import resolve_polarity
from anatomaly.anomaly.lesions import Lesion, tabulate_lesions
from anatomaly.anomaly.score import anomaly_map, anomaly_mask, raw_score
from anatomaly.config import AnomalyConfig, DetectConfig
from anatomaly.detection import Detection, Steps
from anatomaly.engine import (
    REFINED,
    RebuiltScan,
    choose_device,
    lesion_logit,
    limit_threads,
    rebuild,
)
from anatomaly.errors import ConfigError, WeightsError
from anatomaly.model.lesion_scorer import LesionScorer
from anatomaly.native import brain_mask_native, pseudo_healthy_to_native, to_native
from anatomaly.preprocess.chain import Prepared, prepare
from anatomaly.report.manifest import software_versions
from anatomaly.scan.read import read_scan, scan_from_image
from anatomaly.types import SEQUENCES, FloatArray, ScoreName, Sequence
from anatomaly.volume import Scan, Volume
from anatomaly.weights import (
    Choice,
    WeightsCard,
    choice_for,
    healthy_ml_for,
    healthy_residual_of,
    load_healthy_residual,
    load_model,
    load_scorer,
    probability_of,
)

Image = str | Path | Volume | nib.spatialimages.SpatialImage
_stage_logger = logging.getLogger("anatomaly.stage")


class Detector:
    """Loads the weights once and is used for many scans.

    Args:
        config: the defaults if None.

    Raises:
        WeightsError: the weights are missing or do not fit this version.
        ConfigError: the device or the atlas cannot be used.
    """

    def __init__(self, config: DetectConfig | None = None) -> None:
        self.config = config or DetectConfig()
        self.device = choose_device(self.config.device)
        self.model, self.card = load_model(self.config.weights, self.config.edges)
        self.model.to(self.device)
        self.healthy_residual: Mapping[str, FloatArray] = {}
        if any(self.choice_for(sequence).score == "normalised" for sequence in SEQUENCES):
            self.healthy_residual = load_healthy_residual(self.card, self.config.weights)
        self.scorer: LesionScorer | None = None
        if any(self.choice_for(sequence).score == "refined" for sequence in SEQUENCES):
            self.scorer = load_scorer(self.card, self.config.weights).to(self.device)
        self.atlas: Atlas | None = load_atlas(self.config.atlas) if self.config.atlas else None

    def choice_for(self, sequence: Sequence) -> Choice:
        """Return route, reuse and score: the user's, else those of the weights.

        Raises:
            ConfigError: the refined score was asked for with a route or reuse it cannot read, or
                with a polarity: its network weighs both signs.
        """
        config, best = self.config, choice_for(self.card, sequence)
        score = best.score if config.anomaly.score == "auto" else config.anomaly.score
        if score == "refined":
            best = Choice(*REFINED, score)
        choice = Choice(
            best.route if config.route == "auto" else config.route,
            best.reuse if config.reuse == "auto" else config.reuse,
            score,
        )
        if score == "refined" and choice[:2] != REFINED:
            raise ConfigError(
                f"the refined score reads route and reuse {' and '.join(REFINED)}, got "
                f"{choice.route} and {choice.reuse}: leave both at auto, or choose another score"
            )
        if score == "refined" and self.model.edges != next(iter(self.model.anatomy_restorers)):
            raise ConfigError(
                f"the refined score was not trained on {self.model.edges} edges: leave --edges at "
                "auto, or choose another score"
            )
        if score == "refined" and config.anomaly.polarity != "auto":
            raise ConfigError(
                f"polarity {config.anomaly.polarity} has no effect on the refined score, whose "
                "network weighs both signs: leave it at auto, or choose another score"
            )
        return choice

    def detect(self, image: Image, sequence: Sequence | None = None) -> Detection:
        """Find what is abnormal in one scan.

        Args:
            image: path of a NIfTI file, DICOM folder or DICOM file, a nibabel image, or a `Volume`.
            sequence: what it is; None takes the option of the configuration.

        Raises:
            ScanError: the scan cannot be used.
            PreparationError: the brain could not be found or brought to the template.
        """
        clock = _Clock()
        with clock.stage("read"):
            scan = _read(image)
        with clock.stage("prepare"):
            prepared = prepare(scan, self.config.preprocess, sequence or self.config.sequence)
        return self.detect_prepared(scan, prepared, clock)

    def detect_prepared(
        self, scan: Scan, prepared: Prepared, clock: _Clock | None = None
    ) -> Detection:
        """Find what is abnormal in a scan that was prepared before: one preparation, many scores.

        Args:
            scan: as it was read.
            prepared: of `preprocess.chain.prepare`.
            clock: that timed the stages before; None starts one.
        """
        clock = clock or _Clock()
        choice = self.choice_for(prepared.sequence)
        config = self.config.settle(choice.route, choice.reuse, choice.score, self.model.edges)
        with clock.stage("rebuild"), limit_threads(config.threads):
            rebuilt = rebuild(
                self.model,
                prepared.image.data,
                prepared.brain_mask.data,
                self.device,
                choice.route,
                choice.reuse,
            )
        with clock.stage("score"), limit_threads(config.threads):
            anomaly = anomaly_map(
                self._raw_score(rebuilt, prepared.sequence, config.anomaly),
                prepared.brain_mask.data,
                config.anomaly,
                self._healthy_residual_for(prepared.sequence, choice.score),
            )
        with clock.stage("return"):
            native = _return(anomaly, rebuilt, prepared, scan)
        with clock.stage("lesions"):
            threshold = self.threshold_for(prepared.sequence)
            mask = anomaly_mask(native.anomaly_map, native.brain_mask, threshold, config.anomaly)
            lesions = _tabulate(native, mask, prepared, self.atlas)
        return Detection(
            scan=scan,
            sequence=prepared.sequence,
            anomaly_map=native.anomaly_map,
            anomaly_mask=mask,
            pseudo_healthy=native.pseudo_healthy,
            tissue_map=native.tissue_map,
            brain_mask=native.brain_mask,
            lesions=lesions,
            threshold=threshold,
            seconds=clock.seconds,
            warnings=scan.warnings + prepared.trace.warnings,
            run=_manifest(config, self.card, scan, prepared, clock.seconds, str(self.device))
            | {"threshold": threshold, "lesions": len(lesions)},
            steps=Steps(
                rebuilt.image,
                rebuilt.pseudo_healthy,
                rebuilt.edges,
                prepared.trace,
                config.anomaly.ssim_sigma_mm,
                anomaly,
            ),
        )

    def _raw_score(self, rebuilt: RebuiltScan, sequence: Sequence, config: AnomalyConfig) -> Tensor:
        """Score of each voxel of the working grid, (1, 1, 160, 192, 160)."""
        if config.score == "refined" and self.scorer is not None:
            calibration = probability_of(self.card, sequence)
            found = lesion_logit(self.scorer, self.model.context, rebuilt, sequence, calibration)
            return found.probability()
        return raw_score(rebuilt.image, rebuilt.pseudo_healthy, sequence, config)

    def _healthy_residual_for(self, sequence: Sequence, score: ScoreName) -> FloatArray | None:
        """What healthy people score, (40, 48, 40), if the score needs it."""
        if score != "normalised":
            return None
        polarity = resolve_polarity(self.config.anomaly.polarity, sequence)
        return healthy_residual_of(self.healthy_residual, sequence, polarity)

    def threshold_for(self, sequence: Sequence) -> float:
        """Return the user's threshold, else that of the weights for the sequence.

        Raises:
            WeightsError: the weights bring none for this sequence.
        """
        told = self.config.anomaly.threshold
        if told is None and sequence not in self.card.thresholds:
            raise WeightsError(f"{self.card.name}: no threshold for {sequence}; give --threshold")
        return self.card.thresholds[sequence] if told is None else told


def detect(image: Image, **options: Any) -> Detection:
    """Find what is abnormal in one scan; `Detector` saves loading the weights for many.

    Args:
        image: path of a NIfTI file, DICOM folder or DICOM file, a nibabel image, or a `Volume`.
        options: fields of `DetectConfig`, for example sequence="FLAIR".

    Raises:
        ConfigError: an unknown option.
        AnatomalyError: see `Detector` and `Detector.detect`.
    """
    try:
        config = replace(DetectConfig(), **options)
    except TypeError as error:
        raise ConfigError(f"unknown option: {error}") from error
    return Detector(config).detect(image)


class _Clock:
    """Announces stages and keeps their wall time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        _stage_logger.info(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def _read(image: Image) -> Scan:
    return read_scan(image) if isinstance(image, str | Path) else scan_from_image(image)


class _Native(NamedTuple):
    """What goes back to the scan's grid; `residual` is scan minus pseudo-healthy, in [−1, 1]."""

    anomaly_map: Volume
    residual: Volume
    pseudo_healthy: Volume
    tissue_map: Volume
    brain_mask: Volume


def _return(anomaly: FloatArray, rebuilt: RebuiltScan, prepared: Prepared, scan: Scan) -> _Native:
    trace = prepared.trace
    phi = rebuilt.pseudo_healthy[0, 0].cpu().numpy()
    brain_mask = brain_mask_native(trace)
    return _Native(
        anomaly_map=to_native(anomaly, trace),
        residual=to_native(prepared.image.data - phi, trace),
        pseudo_healthy=pseudo_healthy_to_native(phi, trace, scan),
        tissue_map=to_native(rebuilt.tissue_map, trace, order=0),
        brain_mask=brain_mask.with_data(brain_mask.data.astype(np.uint8)),
    )


def _tabulate(
    native: _Native, mask: Volume, prepared: Prepared, atlas: Atlas | None
) -> tuple[Lesion, ...]:
    to_template = prepared.trace.registration.scanner_to_template
    return tabulate_lesions(native.anomaly_map, mask, native.residual, to_template, atlas)


def _manifest(
    config: DetectConfig,
    card: WeightsCard,
    scan: Scan,
    prepared: Prepared,
    seconds: dict[str, float],
    device: str,
) -> dict[str, Any]:
    """Everything that a reader of the result needs to make it again."""
    source = None if scan.source is None else scan.source.absolute()  # pages are rebuilt elsewhere
    return {
        "not_a_medical_device": "research software: not for diagnosis or treatment",
        "scan": {"name": scan.name, "source": source, **scan.metadata},
        "sequence": prepared.sequence,
        "polarity": resolve_polarity(config.anomaly.polarity, prepared.sequence),
        "weights": {
            "name": card.name,
            "date": card.date,
            "sha256": card.sha256,
            "healthy_sha256": card.healthy_sha256,
            "scorer_sha256": card.scorer_sha256,
        },
        "healthy_ml": healthy_ml_for(card, prepared.sequence, config),
        "config": asdict(config),
        "device": device,
        "seconds": seconds,
        "preparation": prepared.trace.summary(),
        "warnings": [*scan.warnings, *prepared.trace.warnings],
        "versions": software_versions(),
    }
