"""Where the scans of a data set come from, by its kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anatomaly.evaluation.benchmark.config import BenchmarkConfig, DatasetPlan
from anatomaly.evaluation.benchmark.patients import parts_of_set, prepare_set
from anatomaly.evaluation.benchmark.phantoms import DrawPlan, draw_phantoms, parts_of_phantoms
from anatomaly.evaluation.benchmark.scans import Parts, Split
from anatomaly.types import MrSequence


def prepare_scans(
    config: BenchmarkConfig,
    data: Path,
    workers: int,
    say: Callable[[str], None],
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


def split_scans(
    config: BenchmarkConfig, plan: DatasetPlan, sequence: MrSequence, data: Path
) -> Split:
    """Return the split of a data set that was prepared.

    One that learns from another has that one's scans to learn from, and for thresholds where it
    has none of its own.

    Raises:
        EvaluationError: a part is empty, or a person is in two.
    """
    own = _parts(plan, sequence, data, config.seed)
    source = config.source_of(plan)
    other = own if source is plan else _parts(source, sequence, data, config.seed)
    validation = own.validation or other.validation
    return Split(other.train, validation, own.lesions + own.healthy)


def _parts(plan: DatasetPlan, sequence: MrSequence, data: Path, seed: int) -> Parts:
    folder = data / plan.name / sequence
    if plan.kind == "phantoms":
        return parts_of_phantoms(plan, sequence, folder)
    return parts_of_set(plan, sequence, folder, seed)
