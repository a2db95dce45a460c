"""What the preparation did, as plain data: every record that the way back needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from anatomaly.errors import PreparationError
from anatomaly.preprocess.bias_field import BiasField
from anatomaly.preprocess.brain_extraction import BrainExtraction
from anatomaly.preprocess.normalise import Normalisation
from anatomaly.preprocess.register import Registration
from anatomaly.preprocess.reorient import Reorientation
from anatomaly.volume import Volume


@dataclass(frozen=True)
class Step:
    """One step of the preparation.

    Attributes:
        name: for example "bias field".
        seconds: wall time.
        record: plain JSON values worth writing down.
    """

    name: str
    seconds: float
    record: dict[str, Any]


@dataclass
class Log:
    """Steps and warnings while the preparation runs.

    Attributes:
        force: go on where a doubt would stop the run.
    """

    force: bool = False
    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Time one step; what is put into the yielded dictionary is recorded."""
        record: dict[str, Any] = {}
        start = time.perf_counter()
        yield record
        self.steps.append(Step(name, time.perf_counter() - start, record))

    def warn(self, *doubts: str | None) -> None:
        """Keep doubts; None is none."""
        self.warnings += [doubt for doubt in doubts if doubt]

    def refuse(self, doubt: str | None, *, may_go_on: bool = False) -> None:
        """Stop at a doubt, or go on with a warning where that is allowed or the user forces it."""
        if doubt is None or doubt in self.warnings:
            return
        if not (self.force or may_go_on):
            raise PreparationError(doubt)
        self.warnings.append(doubt)


@dataclass(frozen=True)
class Trace:
    """Everything needed to bring a result back onto the scan's grid.

    Attributes:
        steps: in the order they ran.
        scan_grid: empty volume with the scan's own shape and affine.
        reorientation: of the axes.
        bias_field: None where the correction was switched off.
        extraction: how the brain was found.
        brain_mask_ras: bool, on the scan's grid turned to RAS+.
        brain_mask_template: bool, working grid.
        registration: scanner mm to template mm.
        normalisation: intensities that became 0 and `HIGH_VALUE`.
        warnings: doubts, in plain sentences.
        quality: measured figures behind the checks.
    """

    steps: tuple[Step, ...]
    scan_grid: Volume
    reorientation: Reorientation
    bias_field: BiasField | None
    extraction: BrainExtraction
    brain_mask_ras: Volume
    brain_mask_template: Volume
    registration: Registration
    normalisation: Normalisation
    warnings: tuple[str, ...] = ()
    quality: dict[str, float] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return what `run.json` says of the preparation: JSON values only."""
        return {
            "steps": [
                {"name": step.name, "seconds": round(step.seconds, 3), **step.record}
                for step in self.steps
            ],
            "scanner_to_template": self.registration.scanner_to_template.tolist(),
            "quality": {name: round(value, 4) for name, value in self.quality.items()},
            "warnings": list(self.warnings),
        }
