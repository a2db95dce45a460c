"""Detection on the real cases: AP on the scan's own grid, beside the threshold and ablations.

    ANATOMALY_DATA=/path/to/data python benchmarks/detection.py [--weights NAME] [--output FOLDER]
        [--workers 2]

The cases are for measuring only: nothing is chosen on them. Each scan is prepared once and scored
by the weights' own choice, by the paper's (edges, learned contrast, hybrid score of both signs) and
by the paper's without edges. Writes detection.csv and detection.md.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, data_folder, describe_run

from anatomaly.config import DetectConfig
from anatomaly.evaluation.baselines.intensity_threshold import intensity_score
from anatomaly.evaluation.cases import Case, list_cases
from anatomaly.evaluation.comparison import paired_difference
from anatomaly.evaluation.labels import read_label
from anatomaly.evaluation.metrics import average_precision, bootstrap_interval, dice, oracle_dice
from anatomaly.method import PAPER, PAPER_NO_EDGES, Method, settle
from anatomaly.pipeline import Detector
from anatomaly.preprocess.chain import prepare
from anatomaly.scan.read import read_scan

SEED = 20261124
COLUMNS = (
    "sequence", "disease", "patient", "reference", "ap_threshold", "ap_paper", "ap_no_edges", "ap",
    "dice", "dice_oracle", "lesion_ml", "found_ml", "seconds",
)  # fmt: skip
METHODS = ("ap_threshold", "ap_paper", "ap_no_edges", "ap")


def with_method(detector: Detector, method: Method) -> Detector:
    """Return a detector of the same networks and a method; the threshold plays no part in AP."""
    config = settle(detector.config, method, detector.networks.model.edges)
    config = replace(config, anomaly=replace(config.anomaly, threshold=0.5))
    return Detector(config, detector.networks)


@cache
def load_detectors(weights: str) -> dict[str, Detector]:
    """Load the three ways to score, once a process."""
    best = Detector(DetectConfig(weights=weights))
    return {
        "ap": best,
        "ap_paper": with_method(best, PAPER),
        "ap_no_edges": with_method(best, PAPER_NO_EDGES),
    }


def measure(case: Case, weights: str) -> dict[str, object]:
    """Prepare one case, score it in every way, and compare with its label."""
    detectors = load_detectors(weights)
    start = time.perf_counter()
    scan = read_scan(case.scan)
    prepared = prepare(scan, detectors["ap"].config.preprocess, case.sequence)
    detection = detectors["ap"].detect_prepared(scan, prepared)
    seconds = time.perf_counter() - start
    truth = read_label(case)
    label = truth.lesion.data
    brain = (detection.brain_mask.data > 0) & ~truth.open
    scores = {"ap_threshold": intensity_score(scan.volume.data, brain, case.sequence)}
    for name, detector in detectors.items():
        found = detection if name == "ap" else detector.detect_prepared(scan, prepared)
        scores[name] = found.anomaly_map.data
    litre = detection.anomaly_map.voxel_volume_mm3 / 1000
    return {
        "sequence": case.sequence,
        "disease": case.disease,
        "patient": case.patient,
        "reference": case.reference,
        **{name: round(average_precision(scores[name], label, brain), 3) for name in METHODS},
        "dice": round(dice((detection.anomaly_mask.data > 0) & ~truth.open, label), 3),
        "dice_oracle": round(oracle_dice(scores["ap"], label, brain), 3),
        "lesion_ml": round(float(label.sum()) * litre, 1),
        "found_ml": round(float(detection.anomaly_mask.data.sum()) * litre, 1),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Measure every case and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--workers", type=int, default=1, help="cases at a time, 3 GB each")
    arguments = parser.parse_args()
    rows = []
    cases = list_cases(data_folder() / "cases")
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as pool:
        for row in pool.map(partial(measure, weights=arguments.weights), cases):
            rows.append(row)
            print(*row.values(), flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "detection.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (arguments.output / "detection.md").write_text(
        _as_markdown(rows, load_detectors(arguments.weights)["ap"])
    )


def _as_markdown(rows: list[dict[str, object]], detector: Detector) -> str:
    lines = ["# Detection on the real cases", ""]
    lines += [
        "Average precision (AP) over brain voxels, on the scan's own grid. `ap_threshold`: the",
        "histogram-equalised intensity (inverted for T1w). `ap_paper`: the paper's hybrid score of",
        "both signs on its own route, from edges; `ap_no_edges`: the same from the tissue map.",
        "`ap`: the weights' choice. `dice`: at the threshold from healthy scans; `dice_oracle`: at",
        "the threshold that is best for this very scan, an upper bound.",
        "",
    ]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(row[c]) for c in COLUMNS) + " |" for row in rows]
    lines += ["", "Means over patients, in brackets the 95 % bootstrap interval:", ""]
    lines += ["| sequence | disease | scans | " + " | ".join(METHODS) + " | ap − ap_threshold |"]
    lines += ["|---|---|---:|" + "---:|" * (len(METHODS) + 1)]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[str(row["sequence"]), str(row["disease"])].append(row)
        groups[str(row["sequence"]), "all"].append(row)
    for (sequence, disease), members in groups.items():
        cells = [_interval([float(m[name]) for m in members]) for name in METHODS]
        ours, threshold = ([float(m[name]) for m in members] for name in ("ap", "ap_threshold"))
        people = [str(m["patient"]) for m in members]
        gain = paired_difference(ours, threshold, people, seed=SEED)
        cells.append(f"{gain.mean:.3f} ({gain.low:.3f} to {gain.high:.3f})")
        lines.append(f"| {sequence} | {disease} | {len(members)} | " + " | ".join(cells) + " |")
    above = sum(float(str(r["ap"])) > float(str(r["ap_threshold"])) for r in rows)
    lines += [
        "",
        f"Above the threshold: {above} of {len(rows)}.",
        "",
        describe_run("python benchmarks/detection.py", SEED, detector.card),
        "",
    ]
    return "\n".join(lines)


def _interval(values: list[float]) -> str:
    low, high = bootstrap_interval(values, seed=SEED)
    return f"{np.mean(values):.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
