"""The paper's own way with our weights: restored from edges, learned contrast, hybrid score.

Source: Yang et al. 2026, arXiv:2512.21924, equation of the hybrid score in
`anatomaly.anomaly.hybrid_score`. What differs: weights and training are ours.
"""

from __future__ import annotations

from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.own import OwnMethod
from anatomaly.method import PAPER

METHOD = MethodCard(
    title="anatomaly, paper's score",
    source="Yang et al. 2026, arXiv:2512.21924",
    differs="shipped weights, trained beforehand; 1 mm volumes; both signs",
    build=lambda sequence, seed: OwnMethod(sequence, PAPER),
    trained=False,
)
