"""Where the scans of a data set come from, by its kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anatomaly.evaluation.benchmark.config import BenchmarkConfig, DatasetPlan
from anatomaly.evaluation.benchmark.patients import prepare_set, split_set
from anatomaly.evaluation.benchmark.phantoms import DrawPlan, draw_phantoms, split_phantoms
from anatomaly.evaluation.benchmark.scans import Split
from anatomaly.types import Sequence


def prepare_scans(
    config: BenchmarkConfig,
    data: Path,
    workers: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Draw or prepare every scan that is not in the folder yet.

    Args:
        config: of the benchmark.
        data: folder of prepared scans, one subfolder for each data set and sequence.
        workers: processes that draw.
        say: receives one line a scan.

    Raises:
        AnatomalyError: a data set cannot be used.
    """
    for plan in config.datasets:
        folder = data / plan.name
        if plan.kind == "phantoms":
            drawing = DrawPlan(plan, config.sequences, folder, config.seed)
            draw_phantoms(drawing, workers, say)
            continue
        for sequence in config.sequences:
            prepare_set(plan, sequence, folder / sequence, config.seed, say)


def split_scans(plan: DatasetPlan, sequence: Sequence, data: Path, seed: int) -> Split:
    """Return the split of a data set that was prepared.

    Raises:
        EvaluationError: parts are missing.
    """
    folder = data / plan.name / sequence
    if plan.kind == "phantoms":
        return split_phantoms(plan, sequence, folder)
    return split_set(plan, sequence, folder, seed)
