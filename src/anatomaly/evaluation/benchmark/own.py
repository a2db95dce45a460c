"""Our own detector as a method: the shipped weights, whole volumes, and its ablations."""

from __future__ import annotations

from collections.abc import Sequence as Several
from functools import partial

from anatomaly.anomaly.hybrid_score import AUTO_POLARITY
from anatomaly.config import AnomalyConfig
from anatomaly.engine import lesion_logit, limit_threads
from anatomaly.evaluation.benchmark.method import PreparedImage, Trainer
from anatomaly.training.validation import ValidationScan, rebuild_scan, score_scan
from anatomaly.types import FloatArray, Sequence
from anatomaly.weights import (
    Choice,
    choice_for,
    healthy_residual_of,
    load_healthy_residual,
    load_model,
    load_scorer,
    probability_of,
)


class OwnMethod:
    """Shipped weights with a route, a way to reuse the contrast, and a score.

    Args:
        sequence: of the scans.
        choice: of route, reuse and score; None takes what the weights were validated with.
        weights: bundled name or folder.

    Raises:
        WeightsError: the weights cannot be used.
    """

    def __init__(
        self, sequence: Sequence, choice: Choice | None = None, weights: str = "default"
    ) -> None:
        self.model, card = load_model(weights)
        self.choice = choice or choice_for(card, sequence)
        self.config = AnomalyConfig(
            score=self.choice.score, polarity="auto" if choice is None else "both"
        )
        self.calibration = probability_of(card, sequence)
        self.scorer = load_scorer(card, weights) if self.choice.score == "refined" else None
        self.healthy: FloatArray | None = None
        if self.choice.score == "normalised":
            maps = load_healthy_residual(card, weights)
            self.healthy = healthy_residual_of(maps, sequence, AUTO_POLARITY[sequence])
        self.threads = 1

    @property
    def parameters_count(self) -> int:
        """Numbers that were learnt."""
        networks = [self.model] if self.scorer is None else [self.model, self.scorer]
        return sum(p.numel() for network in networks for p in network.parameters())

    def fit(self, healthy: Several[PreparedImage], trainer: Trainer) -> None:
        """Learn nothing here: the weights were trained before, on other data."""
        self.threads = trainer.budget.threads

    def score(self, prepared: PreparedImage) -> FloatArray:
        """Return the anomaly map, (160, 192, 160) float32 in [0, 1]."""
        empty = prepared.brain_mask & False
        scan = ValidationScan(prepared.sequence, prepared.image, prepared.brain_mask, empty)
        with limit_threads(self.threads):
            rebuilt = rebuild_scan(self.model, scan, [(self.choice.route, self.choice.reuse)])[0]
            refine = self.scorer and partial(
                lesion_logit, self.scorer, self.model.context, calibration=self.calibration
            )
            return score_scan(scan, rebuilt, self.config, self.healthy, refine)
