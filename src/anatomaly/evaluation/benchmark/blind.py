"""The blind test: labels stay closed until the threshold is fixed, and it comes from healthy scans.

The object that holds the labels computes the threshold itself, from scores of its own healthy
validation scans; there is no other way in. Only then does it measure, and it hands out figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from anatomaly.anomaly.postprocess import threshold_map
from anatomaly.config import MOST_HEALTHY_ML, USUAL_HEALTHY_ML, AnomalyConfig
from anatomaly.errors import EvaluationError, SealedError
from anatomaly.evaluation.benchmark.ledger import Ledger
from anatomaly.evaluation.benchmark.scans import BenchmarkScan, OpenedScan, Split, Truth
from anatomaly.evaluation.healthy import false_positives
from anatomaly.evaluation.metrics import average_precision, dice, oracle_dice
from anatomaly.evaluation.metrics_lesionwise import match_lesions
from anatomaly.thresholds import join_thresholds, value_at_volume
from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import PreparedImage, Volume

MIN_LESION_MM3 = AnomalyConfig().min_lesion_mm3
"""Smaller pieces of a mask are dropped, for every method, as the product does."""

ScoreImage = Callable[[PreparedImage], FloatArray]


class BlindTest:
    """One method's way through one data set and sequence.

    Args:
        split: of the scans.

    Attributes:
        threshold: nan until it is fixed.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self._labels = {scan.name: scan.label for scan in split.test}
        self.threshold = math.nan

    @property
    def names(self) -> list[str]:
        """Names of the test scans."""
        return [scan.name for scan in self._split.test]

    def open_train(self) -> list[PreparedImage]:
        """Load the healthy images to learn from."""
        return [scan.open().prepared for scan in self._split.train]

    def open_test(self, name: str) -> OpenedScan:
        """Load a test scan without its label."""
        return self._test_scan(name).open()

    def fix_threshold(self, score: ScoreImage, known: Ledger) -> float:
        """Fix the threshold, once and for all.

        The lowest one that leaves at most 1 mL of false positives in half of the healthy
        validation scans and at most 5 mL in 95 % of them (the product's own rule).

        Args:
            score: of the method.
            known: remembers what each validation scan asked for.

        Raises:
            EvaluationError: it is fixed already.
        """
        if not math.isnan(self.threshold):
            raise EvaluationError(f"the threshold is fixed at {self.threshold}; it stays")
        asked = [
            known.remember(f"validation/{scan.name}", partial(_asked, scan, score))
            for scan in self._split.validation
        ]
        self.threshold = join_thresholds([a["half"] for a in asked], [a["most"] for a in asked])
        return self.threshold

    def open_label(self, name: str) -> Truth | None:
        """Read a label; None for a healthy scan.

        Raises:
            SealedError: the threshold is not fixed yet.
            EvaluationError: the label cannot be read.
        """
        if math.isnan(self.threshold):
            raise SealedError(f"the label of {name} stays closed: call fix_threshold first")
        read = self._labels[name]
        return None if read is None else read()

    def measure(self, name: str, opened: OpenedScan, score: FloatArray) -> dict[str, Any]:
        """Compare a score map with the label on the scan's own grid.

        Args:
            name: of the test scan.
            opened: of `open_test`.
            score: (I, J, K) on the working grid, as the method gave it.

        Returns:
            JSON values: who, strata, and figures; nan where there is no such figure.

        Raises:
            SealedError: the threshold is not fixed yet.
            EvaluationError: the score does not fit or is not finite.
        """
        truth = self.open_label(name)
        score = check_score(score, opened.prepared)
        native, scan = opened.bring(score), self._test_scan(name)
        who = {
            "scan": name, "person": scan.person, "disease": scan.disease, "site": scan.site,
            "age": scan.age, "sex": scan.sex, "healthy": truth is None,
        }  # fmt: skip
        inside = np.where(opened.brain.data, native, 0)
        above = threshold_map(
            opened.brain.with_data(inside), opened.brain, self.threshold, MIN_LESION_MM3
        )
        above = above.with_data(above.data > 0)
        if truth is None:
            wrong = false_positives(above.data, opened.brain.data, above.voxel_volume_mm3)
            return who | {"fp_ml": wrong.volume_ml, "fp_pieces": wrong.pieces}
        return who | _figures(inside, above, truth, opened.brain.data & ~truth.open)

    def _test_scan(self, name: str) -> BenchmarkScan:
        return next(scan for scan in self._split.test if scan.name == name)


def check_score(score: FloatArray, prepared: PreparedImage) -> FloatArray:
    """Return the score, 0 outside the brain.

    Raises:
        EvaluationError: it has another shape, is not finite, or is below 0.
    """
    if score.shape != prepared.image.shape:
        raise EvaluationError(f"score of shape {score.shape} for {prepared.image.shape}")
    inside = score[prepared.brain_mask]
    if not np.isfinite(inside).all() or (inside < 0).any():
        raise EvaluationError("scores must be finite and at least 0 inside the brain")
    return np.where(prepared.brain_mask, score, 0).astype(np.float32)


def _asked(scan: BenchmarkScan, score: ScoreImage) -> dict[str, float]:
    """Return what a healthy scan asks of the threshold, on its own grid."""
    opened = scan.open()
    native = opened.bring(check_score(score(opened.prepared), opened.prepared))
    inside, voxel_ml = native * opened.brain.data, opened.brain.voxel_volume_mm3 / 1000
    return {
        "half": value_at_volume(inside, USUAL_HEALTHY_ML / voxel_ml),
        "most": value_at_volume(inside, MOST_HEALTHY_ML / voxel_ml),
    }


def _figures(score: FloatArray, above: Volume, truth: Truth, brain: BoolArray) -> dict[str, Any]:
    """Return the figures of a scan with lesions."""
    mask, voxel_mm3 = above.data & ~truth.open, above.voxel_volume_mm3
    return {
        "lesion_ml": float(truth.lesion.sum()) * voxel_mm3 / 1000,
        "ap": average_precision(score, truth.lesion, brain),
        "dice": dice(mask, truth.lesion) if truth.lesion.any() else math.nan,
        "dice_oracle": oracle_dice(score, truth.lesion, brain),
        "match": match_lesions(mask, truth.lesion, voxel_mm3)._asdict(),
    }
