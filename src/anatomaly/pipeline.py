"""START HERE: one scan in, the anomaly in the scan's own space out.

    scan            as it was read, native grid
    prepared        stripped, without bias field, on the template, in [0, 1]
    tissue map      what the anatomy extractor sees
    edges           of the tissue map
    healthy anatomy restored from the edges, and beside it from the tissue map itself
    pseudo-healthy  the healthy anatomy with the contrast of the scan
    score           of each voxel: how the scan differs
    anomaly map     smoothed, then back on the scan's grid
    mask, lesions   cut at the threshold of the weights

The default is `method.REFINED`: both routes, the contrast fitted to the scan, scored by a network
that saw synthetic lesions; the modality extractor and the combiner are not run. `method.PAPER` is
the way of Yang et al. 2026: edges alone, learned contrast, |x − φ| · (1 − SSIM).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from anatomaly.anomaly.atlas import Atlas, load_atlas
from anatomaly.anomaly.lesions import tabulate_lesions
from anatomaly.anomaly.score import anomaly_mask
from anatomaly.config import DetectConfig
from anatomaly.detection import Detection, Steps
from anatomaly.errors import ConfigError, WeightsError
from anatomaly.method import Method, resolve, settle
from anatomaly.native import brain_mask_native, pseudo_healthy_to_native, to_native
from anatomaly.networks import Networks, choose_device, limit_threads, load_networks
from anatomaly.preprocess.chain import Prepared, prepare
from anatomaly.report.manifest import software_versions
from anatomaly.scan.read import read_scan, scan_from_image
from anatomaly.score import score_prepared
from anatomaly.types import SEQUENCES, MrSequence
from anatomaly.volume import Scan, Volume
from anatomaly.weights import find_weights
from anatomaly.weights_card import controls_for, healthy_ml_for, read_card

Image = str | Path | Volume | nib.spatialimages.SpatialImage
_stage_logger = logging.getLogger("anatomaly.stage")


class Detector:
    """Loads the weights once and is used for many scans.

    Args:
        config: the defaults if None.
        networks: loaded before, in the place of weights and device of the configuration.

    Raises:
        WeightsError: the weights are missing or do not fit this version.
        ConfigError: the device or the atlas cannot be used, or options that exclude one another.
    """

    def __init__(
        self, config: DetectConfig | None = None, networks: Networks | None = None
    ) -> None:
        self.config = config or DetectConfig()
        card = networks.card if networks else read_card(find_weights(self.config.weights))
        self.methods: dict[MrSequence, Method] = {
            sequence: resolve(self.config, card.method_for(sequence)) for sequence in SEQUENCES
        }
        self.networks = networks or load_networks(
            self.config.weights,
            list(self.methods.values()),
            edges=self.config.edges,
            device=choose_device(self.config.device),
        )
        if self.config.edges not in ("auto", self.networks.model.edges):
            raise ConfigError(
                f"the networks restore from {self.networks.model.edges} edges, not from "
                f"{self.config.edges}"
            )
        for method in self.methods.values():
            self.networks.check(method)
        self.card = self.networks.card
        self.atlas: Atlas | None = load_atlas(self.config.atlas) if self.config.atlas else None

    def detect(self, image: Image, sequence: MrSequence | None = None) -> Detection:
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
        image, trace = prepared.image, prepared.trace
        method, threshold = self.methods[image.sequence], self.threshold_for(image.sequence)
        with limit_threads(self.config.threads):
            rebuilt, score = score_prepared(self.networks, image, method, clock.stage)
        with clock.stage("return"):
            healthy = rebuilt.pseudo_healthy[0, 0].cpu().numpy()
            brain_mask = brain_mask_native(trace)
            tissue_map = to_native(rebuilt.tissue_map, trace, order=0)
            pseudo_healthy = pseudo_healthy_to_native(healthy, trace, scan)
            residual = to_native(image.image - healthy, trace)
            anomaly_map = to_native(score, trace)
        with clock.stage("lesions"):
            least_mm3 = self.config.anomaly.min_lesion_mm3
            mask = anomaly_mask(anomaly_map, brain_mask, threshold, method, least_mm3)
            to_template = trace.registration.scanner_to_template
            lesions = tabulate_lesions(
                anomaly_map, mask, residual, to_template, self.atlas, tissue_map
            )
        return Detection(
            scan=scan,
            sequence=image.sequence,
            anomaly_map=anomaly_map,
            anomaly_mask=mask,
            pseudo_healthy=pseudo_healthy,
            tissue_map=tissue_map,
            brain_mask=brain_mask.with_data(brain_mask.data.astype(np.uint8)),
            lesions=lesions,
            threshold=threshold,
            seconds=clock.seconds,
            warnings=scan.warnings + trace.warnings,
            run=self._manifest(scan, prepared, clock.seconds)
            | {"threshold": threshold, "lesions": len(lesions)},
            steps=Steps(
                rebuilt.image,
                rebuilt.pseudo_healthy,
                rebuilt.edges,
                trace,
                method.ssim_sigma_mm,
                score,
            ),
        )

    def threshold_for(self, sequence: MrSequence) -> float:
        """Return the user's threshold, else that of the weights for the sequence.

        Raises:
            WeightsError: the weights bring none for this sequence.
        """
        threshold = self.config.anomaly.threshold
        if threshold is not None:
            return threshold
        if sequence not in self.card.thresholds:
            raise WeightsError(f"{self.card.name}: no threshold for {sequence}; give --threshold")
        return self.card.thresholds[sequence]

    def _manifest(
        self, scan: Scan, prepared: Prepared, seconds: dict[str, float]
    ) -> dict[str, Any]:
        """Return everything that a reader of the result needs to make it again."""
        card, sequence, trace = self.card, prepared.image.sequence, prepared.trace
        method, least_mm3 = self.methods[sequence], self.config.anomaly.min_lesion_mm3
        source = scan.source and scan.source.absolute()  # pages are rebuilt elsewhere
        return {
            "not_a_medical_device": "research software: not for diagnosis or treatment",
            "scan": {"name": scan.name, "source": source, **scan.metadata},
            "sequence": sequence,
            "polarity": method.sign_in(sequence),
            "method": method.to_json(),
            "weights": {
                "name": card.name,
                "date": card.date,
                "sha256": card.sha256,
                "healthy_sha256": card.healthy_sha256,
                "scorer_sha256": card.scorer_sha256,
            },
            "healthy_ml": healthy_ml_for(card, sequence, method, least_mm3),
            "controls": controls_for(
                card, sequence, method, least_mm3, self.threshold_for(sequence)
            ),
            "config": asdict(settle(self.config, method, self.networks.model.edges)),
            "device": str(self.networks.device),
            "seconds": seconds,
            "preparation": trace.summary(),
            "warnings": [*scan.warnings, *trace.warnings],
            "versions": software_versions(),
        }


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
