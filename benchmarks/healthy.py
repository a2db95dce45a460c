"""False positives in real healthy heads: everything that `detect` finds there is one.

    ANATOMALY_DATA=/path/to/data python benchmarks/healthy.py [--weights NAME] [--count 20]

T1w heads with skull, of people that training never saw. The first half says which threshold keeps
the budget of false positives (1 mL in half of the heads, 5 mL in 95 %), voxel by voxel; the second
half is the check. Then healthy volunteers with further sequences (`healthy/` of the data), measured
only. Writes benchmarks/results/healthy.md.
"""

from __future__ import annotations

import argparse

import numpy as np
from environment import RESULTS, data_folder, describe_run, healthy_heads

from anatomaly.anomaly.score import anomaly_mask
from anatomaly.config import DetectConfig
from anatomaly.errors import AnatomalyError
from anatomaly.evaluation.healthy import false_positives
from anatomaly.pipeline import Detector
from anatomaly.thresholds import healthy_threshold
from anatomaly.types import SEQUENCES
from anatomaly.volume import Volume


def main() -> None:
    """Detect in every head and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--count", type=int, default=20)
    arguments = parser.parse_args()
    detector = Detector(DetectConfig(weights=arguments.weights, sequence="T1w"))
    maps: dict[str, tuple[Volume, Volume]] = {}
    for head in healthy_heads(arguments.count):
        person = head.name.split("_")[0]
        try:
            detection = detector.detect(head)
        except AnatomalyError as error:
            print(f"{person}: left out: {type(error).__name__}: {error}", flush=True)
            continue
        maps[person] = (detection.anomaly_map, detection.brain_mask)
        print(person, _budget([first for first, _ in maps.values()]), flush=True)
    if len(maps) < 4:
        raise SystemExit("too few heads could be used")
    half = len(maps) // 2
    volumes = [anomaly_map for anomaly_map, _ in maps.values()]
    budget = _budget(volumes[:half])
    default, rule = detector.threshold_for("T1w"), detector.methods["T1w"]
    rows = ["| person | mL | mL, card | pieces, card | highest score |", "|---|" + "---:|" * 4]
    found, at_default = [], []
    for person, (anomaly_map, brain) in maps.items():
        at_budget, at_card = (
            false_positives(
                anomaly_mask(anomaly_map, brain, threshold, rule).data > 0,
                brain.data > 0,
                anomaly_map.voxel_volume_mm3,
            )
            for threshold in (budget, default)
        )
        found.append(at_budget.volume_ml)
        at_default.append(at_card.volume_ml)
        volumes_ml = f"{at_budget.volume_ml:.2f} | {at_card.volume_ml:.2f}"
        peak = float(anomaly_map.data.max())
        rows.append(f"| {person} | {volumes_ml} | {at_card.pieces} | {peak:.3f} |")
    lines = [
        "# False positives in healthy T1w heads",
        "",
        f"Threshold {budget}: the first {half} heads keep to 1 mL in half of them, 5 mL in 95 %.",
        f"At it the other {len(found) - half} have {_summary(found[half:])};",
        f"all {len(found)} have {_summary(found)}.",
        "",
        f"At the threshold of the weights' card, {default}: the {len(found) - half} have",
        f"{_summary(at_default[half:])}; all have {_summary(at_default)}.",
        "",
        *rows,
        "",
        *measure_volunteers(detector),
        describe_run("python benchmarks/healthy.py", None, detector.card),
        "",
    ]
    (RESULTS / "healthy.md").write_text("\n".join(lines), encoding="utf-8")


def measure_volunteers(detector: Detector) -> list[str]:
    """Return a table of what is found in healthy volunteers, at the card's thresholds."""
    lines = ["Healthy volunteers, every sequence, at the thresholds of the card:", ""]
    lines += ["| volunteer | sequence | mL | pieces | highest score |", "|---|---|---:|---:|---:|"]
    for folder in sorted((data_folder() / "healthy").glob("*")):
        for sequence in SEQUENCES:
            scan = folder / f"{sequence}.nii.gz"
            if not scan.is_file():
                continue
            found = detector.detect(scan, sequence)
            ml = float(found.anomaly_mask.data.sum()) * found.anomaly_map.voxel_volume_mm3 / 1000
            peak = float(found.anomaly_map.data.max())
            cells = f"{sequence} | {ml:.2f} | {len(found.lesions)} | {peak:.3f}"
            lines.append(f"| {folder.name} | {cells} |")
            print(lines[-1], flush=True)
    return [*lines, ""]


def _budget(maps: list[Volume]) -> float:
    """Threshold that keeps these heads within 1 mL (half of them) and 5 mL (95 %)."""
    voxel_ml = maps[0].voxel_volume_mm3 / 1000
    return round(healthy_threshold([m.data for m in maps], voxel_ml), 4)


def _summary(values: list[float]) -> str:
    """Median, 95th percentile and largest of volumes in mL."""
    median, high = np.median(values), np.quantile(values, 0.95)
    return f"median {median:.2f} mL, 95th percentile {high:.2f} mL, largest {max(values):.2f} mL"


if __name__ == "__main__":
    main()
