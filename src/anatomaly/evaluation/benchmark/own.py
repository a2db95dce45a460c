"""Our own detector as a method: the shipped weights, whole volumes, and its ablations."""

from __future__ import annotations

from collections.abc import Sequence

from anatomaly.evaluation.benchmark.method import Trainer
from anatomaly.method import Method
from anatomaly.networks import limit_threads, load_networks
from anatomaly.score import score_prepared
from anatomaly.types import FloatArray, MrSequence
from anatomaly.volume import PreparedImage
from anatomaly.weights import find_weights
from anatomaly.weights_card import read_card


class OwnMethod:
    """Weights that were trained beforehand, with a method.

    Args:
        sequence: of the scans.
        method: None takes what the weights were validated with.
        weights: bundled name or folder.

    Raises:
        WeightsError: the weights cannot be used.
    """

    def __init__(
        self, sequence: MrSequence, method: Method | None = None, weights: str = "default"
    ) -> None:
        self.method = method or read_card(find_weights(weights)).method_for(sequence)
        self.networks = load_networks(weights, [self.method])
        self.threads = 1

    @property
    def parameters_count(self) -> int:
        """Numbers that were learnt."""
        return self.networks.parameters_count

    def fit(self, healthy: Sequence[PreparedImage], trainer: Trainer) -> None:
        """Learn nothing here: the weights were trained before, on other data."""
        self.threads = trainer.budget.threads

    def score(self, prepared: PreparedImage) -> FloatArray:
        """Return the anomaly map, (160, 192, 160) float32 in [0, 1]."""
        with limit_threads(self.threads):
            return score_prepared(self.networks, prepared, self.method).anomaly_map
