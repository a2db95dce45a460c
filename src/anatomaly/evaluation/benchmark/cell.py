"""One cell of the table: one method on one data set and sequence."""

from __future__ import annotations

import datetime
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from anatomaly.evaluation.benchmark.blind import BlindTest
from anatomaly.evaluation.benchmark.config import BenchmarkConfig, DatasetPlan
from anatomaly.evaluation.benchmark.ledger import Ledger
from anatomaly.evaluation.benchmark.method import Method, Trainer, find_method
from anatomaly.evaluation.benchmark.scans import Split
from anatomaly.evaluation.benchmark.sources import split_scans
from anatomaly.networks import keep_freed_memory
from anatomaly.systems import peak_memory_gb
from anatomaly.types import MrSequence

FINISHED, FAILED = "finished", "failed"


@dataclass(frozen=True)
class Cell:
    """What is to be measured.

    Attributes:
        config: of the benchmark.
        plan: data set, one of the configuration's.
        sequence: one of the configuration's.
        method: one of the configuration's.
        folder: of the whole benchmark.
    """

    config: BenchmarkConfig
    plan: DatasetPlan
    sequence: MrSequence
    method: str
    folder: Path

    @property
    def ledger(self) -> Ledger:
        """Where its records lie."""
        return Ledger(self.folder / "cells" / self.plan.name / self.sequence / self.method)

    @property
    def source(self) -> Cell:
        """The cell whose networks it uses: itself, or that of the data set it learns from."""
        return replace(self, plan=self.config.source_of(self.plan))

    @property
    def key(self) -> tuple[str, str, str]:
        """Data set, sequence and method, as a row of the table has them."""
        return self.plan.name, self.sequence, self.method

    @property
    def who(self) -> dict[str, Any]:
        """The key under the names of the table's columns."""
        return dict(zip(("dataset", "sequence", "method"), self.key, strict=True))

    @property
    def name(self) -> str:
        """In messages."""
        return " ".join(self.key)


def run_cells(cells: Sequence[Cell]) -> None:
    """Measure cells of one method and sequence; those that share networks fit them once."""
    fitted: dict[Path, Method] = {}
    for cell in cells:
        run_cell(cell, fitted)


def run_cell(cell: Cell, fitted: dict[Path, Method] | None = None) -> None:
    """Measure a cell, from where an earlier run stopped; a failure is written down, not raised.

    Args:
        cell: what is measured.
        fitted: methods by the folder of their training, fitted in this process; grows.
    """
    if cell.ledger.read(FINISHED):
        return
    cell.ledger.remove(FAILED)
    torch.set_num_threads(cell.config.budget.threads)
    keep_freed_memory()
    try:
        split = split_scans(cell.config, cell.plan, cell.sequence, cell.folder / "data")
        measure_cell(cell, split, {} if fitted is None else fitted)
    except Exception as error:  # whatever a method does, the others go on
        report = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        cell.ledger.write(FAILED, report)


def measure_cell(cell: Cell, split: Split, fitted: dict[Path, Method]) -> None:
    """Fit the method, fix its threshold, score and measure every test scan.

    Args:
        cell: what is measured.
        split: of its scans.
        fitted: as in `run_cell`.

    Raises:
        AnatomalyError: of the method or the data.
    """
    ledger, config = cell.ledger, cell.config
    blind, training = BlindTest(split), cell.source.ledger.folder / "training"
    if training not in fitted:
        method = find_method(cell.method).build(cell.sequence, config.seed)
        method.fit(blind.open_train(), Trainer(training, config.budget))
        fitted[training] = method
    method = fitted[training]
    known = ledger if cell.plan.validation else cell.source.ledger
    threshold = blind.fix_threshold(method.score, known)
    for name in blind.names:
        if ledger.read(f"scans/{name}"):
            continue
        opened = blind.open_test(name)
        start = time.perf_counter()
        score = method.score(opened.prepared)
        seconds = time.perf_counter() - start
        ledger.write(f"scans/{name}", blind.measure(name, opened, score) | {"seconds": seconds})
    record = {
        "threshold": threshold,
        "parameters": method.parameters_count,
        "peak_gb": peak_memory_gb(),
        "measured": datetime.date.today().isoformat(),
    }
    ledger.write(FINISHED, record)
