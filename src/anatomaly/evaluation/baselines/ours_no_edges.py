"""The paper's ablation with our weights: the tissue map goes to the encoder as it is.

Source: Yang et al. 2026, arXiv:2512.21924. What differs from `ours_paper.py` is the route alone,
so that the two tell what edges are worth.
"""

from __future__ import annotations

from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.own import OwnMethod
from anatomaly.method import PAPER_NO_EDGES

METHOD = MethodCard(
    title="anatomaly, no edges",
    source="Yang et al. 2026, arXiv:2512.21924",
    differs="shipped weights, trained beforehand; 1 mm volumes; both signs",
    build=lambda sequence, seed: OwnMethod(sequence, PAPER_NO_EDGES),
    trained=False,
)
