"""The product itself: shipped weights, with the route and the score they were validated with.

Source: this package. It differs from all others here in its training: the weights come with the
package, were trained on drawn scans of other people, and cost hours instead of the budget.
"""

from __future__ import annotations

from anatomaly.evaluation.benchmark.method import MethodCard
from anatomaly.evaluation.benchmark.own import OwnMethod

METHOD = MethodCard(
    title="anatomaly",
    source="this package",
    differs="shipped weights, trained beforehand; 1 mm volumes; sign of the sequence known",
    build=lambda sequence, seed: OwnMethod(sequence),
    trained=False,
)
