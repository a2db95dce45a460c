"""Detection on the real cases: AP on the scan's own grid, ours beside the intensity threshold.

    ANATOMALY_DATA=/path/to/data python benchmarks/detection.py [--weights NAME] [--output FOLDER]

The cases are for measuring only: nothing is chosen on them. Writes detection.csv and
detection.md.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from environment import RESULTS, data_folder, describe_run

from anatomaly.config import DetectConfig
from anatomaly.evaluation.baselines.intensity_threshold import intensity_score
from anatomaly.evaluation.cases import Case, list_cases
from anatomaly.evaluation.metrics import average_precision, dice
from anatomaly.pipeline import Detector

COLUMNS = (
    "sequence", "disease", "patient", "reference", "ap_threshold", "ap",
    "dice", "lesion_ml", "found_ml", "seconds",
)  # fmt: skip


def measure(case: Case, detector: Detector) -> dict[str, object]:
    """Run one case and compare with its label."""
    start = time.perf_counter()
    detection = detector.detect(case.scan)
    seconds = time.perf_counter() - start
    file: Any = nib.load(case.label)
    label = np.asarray(file.dataobj) > 0.5
    brain = detection.brain_mask.data > 0
    baseline = intensity_score(detection.scan.volume.data, brain, case.sequence)
    litre = detection.anomaly_map.voxel_volume_mm3 / 1000
    return {
        "sequence": case.sequence,
        "disease": case.disease,
        "patient": case.patient,
        "reference": case.reference,
        "ap_threshold": round(average_precision(baseline, label, brain), 3),
        "ap": round(average_precision(detection.anomaly_map.data, label, brain), 3),
        "dice": round(dice(detection.anomaly_mask.data > 0, label), 3),
        "lesion_ml": round(float(label.sum()) * litre, 1),
        "found_ml": round(float(detection.anomaly_mask.data.sum()) * litre, 1),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Measure every case and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    detector = Detector(DetectConfig(weights=arguments.weights))
    rows = []
    for case in list_cases(data_folder() / "cases"):
        rows.append(measure(case, detector))
        print(*rows[-1].values(), flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "detection.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (arguments.output / "detection.md").write_text(_as_markdown(rows, detector))


def _as_markdown(rows: list[dict[str, object]], detector: Detector) -> str:
    lines = ["# Detection on the real cases", ""]
    lines += [
        "Average precision (AP) over brain voxels, on the scan's own grid. `ap_threshold`: the",
        "histogram-equalised intensity (inverted for T1w). `ap`: the weights' default route and",
        "score. `dice`: at the threshold that drawn healthy scans gave.",
        "",
    ]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(row[c]) for c in COLUMNS) + " |" for row in rows]
    above = sum(float(str(r["ap"])) > float(str(r["ap_threshold"])) for r in rows)
    lines += [
        "",
        f"Above the threshold: {above} of {len(rows)}.",
        "",
        f"Weights {detector.card.name}, SHA-256 {detector.card.sha256[:16]}…",
        describe_run("python benchmarks/detection.py", None),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
