"""Does half precision change what is found? Maps of the real cases in both.

    ANATOMALY_DATA=/path/to/data python benchmarks/precision.py

Each case is prepared once; networks and score run in float32 and in the half precision that
`detect` takes on this machine. Writes benchmarks/results/precision.md. Nothing is chosen on the
cases: they only show that the maps are the same. On a processor without bfloat16 there is nothing
to compare, and the script says so.
"""

from __future__ import annotations

from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from environment import RESULTS, data_folder, describe_run

from anatomaly.config import DetectConfig
from anatomaly.evaluation.cases import Case, list_cases
from anatomaly.evaluation.labels import read_label
from anatomaly.evaluation.metrics import average_precision, dice
from anatomaly.networks import half_precision, keep_freed_memory
from anatomaly.pipeline import Detector
from anatomaly.preprocess.chain import prepare
from anatomaly.scan.read import read_scan
from anatomaly.types import FloatArray
from anatomaly.weights_card import WeightsCard


class Row(NamedTuple):
    """One case."""

    sequence: str
    patient: str
    ap_half: float
    ap_full: float
    largest: float
    common: float
    agreement: float


def measure(case: Case, detector: Detector) -> Row:
    """Detect in one case in both precisions."""
    scan = read_scan(case.scan)
    prepared = prepare(scan, detector.config.preprocess, case.sequence)
    half = detector.detect_prepared(scan, prepared)
    with mock.patch("anatomaly.networks.half_precision", return_value=None):
        full = detector.detect_prepared(scan, prepared)
    truth = read_label(case)
    brain = (full.brain_mask.data > 0) & ~truth.open
    maps: list[FloatArray] = [d.anomaly_map.data for d in (half, full)]
    change = np.abs(maps[0] - maps[1])[brain]
    masks = [d.anomaly_mask.data > 0 for d in (half, full)]
    ap_half, ap_full = (average_precision(m, truth.lesion.data, brain) for m in maps)
    return Row(
        case.sequence,
        case.patient,
        ap_half,
        ap_full,
        float(change.max()),
        float(np.quantile(change, 0.999)),
        dice(*masks) if any(m.any() for m in masks) else 1.0,
    )


def main() -> None:
    """Measure every case and write the table."""
    half = half_precision(torch.device("cpu"))
    if half is None:
        raise SystemExit("this processor has no bfloat16: detect runs in float32 here")
    keep_freed_memory()
    detector = Detector(DetectConfig(device="cpu"))
    rows = []
    for case in list_cases(data_folder() / "cases"):
        rows.append(measure(case, detector))
        print(*rows[-1], flush=True)
    (RESULTS / "precision.md").write_text(
        as_markdown(rows, str(half), detector.card), encoding="utf-8"
    )


def as_markdown(rows: list[Row], half: str, card: WeightsCard) -> str:
    """Return the page."""
    worst = max(abs(r.ap_half - r.ap_full) for r in rows)
    lines = [
        "# Half precision",
        "",
        f"Maps of the real cases in {half} and in float32, each case prepared once. `largest`: the",
        "largest difference of the maps (range 0 to 1) inside the brain; `99.9 %`: what 99.9 % of",
        "the voxels stay below; `masks`: Dice of the two masks.",
        "",
        f"AP differs by at most {worst:.4f}.",
        "",
        "| sequence | patient | AP half | AP float32 | largest | 99.9 % | masks |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r.sequence} | {r.patient} | {r.ap_half:.4f} | {r.ap_full:.4f} | {r.largest:.3f} "
        f"| {r.common:.4f} | {r.agreement:.4f} |"
        for r in rows
    ]
    return "\n".join([*lines, "", describe_run("python benchmarks/precision.py", None, card), ""])


if __name__ == "__main__":
    main()
