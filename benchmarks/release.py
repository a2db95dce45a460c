"""Before and after: two weights on the same scans in one run.

    ANATOMALY_DATA=/path/to/data python benchmarks/release.py --before WEIGHTS [--after default]

Real cases (AP and Dice, beside what the training was asked to reach), healthy T1w heads (volume
found, all of it false) and drawn phantoms (volume and place). The cases are for measuring only:
nothing is chosen on them. A scan is prepared once and scored by both. `--parts` measures some of
the three, or none; what release.json holds of the others stays. Writes release.json and release.md
into `--output`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from environment import RESULTS, data_folder, describe_run, healthy_heads

from anatomaly.config import DetectConfig
from anatomaly.detection import Detection
from anatomaly.errors import AnatomalyError
from anatomaly.evaluation.cases import list_cases
from anatomaly.evaluation.comparison import paired_difference
from anatomaly.evaluation.healthy import false_positives
from anatomaly.evaluation.labels import read_label
from anatomaly.evaluation.metrics import average_precision, dice
from anatomaly.evaluation.phantom import Phantom, make_phantom
from anatomaly.evaluation.recovery import measure_recovery
from anatomaly.networks import keep_freed_memory
from anatomaly.pipeline import Detector
from anatomaly.preprocess.chain import prepare
from anatomaly.scan.read import read_scan, scan_from_image
from anatomaly.types import SEQUENCES, MrSequence
from anatomaly.volume import Scan, Volume

Row: TypeAlias = dict[str, Any]
SEED = 20261126
COMMAND = "python benchmarks/release.py"
SIDES = ("before", "after")
ASKED: dict[tuple[str, str], tuple[tuple[float, ...], tuple[float, ...]]] = {
    ("FLAIR", "glioma"): ((0.85,), (0.93,)),
    ("FLAIR", "MS"): ((0.78, 0.60), (0.85, 0.70)),
    ("T2w", "MS"): ((0.30, 0.12), (0.60, 0.50)),
    ("T2w", "glioma"): ((0.35,), (0.85,)),
    ("T1w", "MS"): ((0.20, 0.05), (0.55, 0.47)),
    ("T1w", "glioma"): ((0.20,), (0.75,)),
}
"""AP to reach and to aim for: one value is that of the mean, two those of the two patients."""
CUTS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
"""Thresholds at which the lesion of a phantom is measured."""


def _detect(
    detectors: dict[str, Detector], scan: Scan, sequence: MrSequence
) -> dict[str, Detection]:
    """Prepare a scan once and score it by both weights."""
    prepared = prepare(scan, detectors["after"].config.preprocess, sequence)
    return {side: d.detect_prepared(scan, prepared) for side, d in detectors.items()}


def measure_cases(detectors: dict[str, Detector]) -> Iterator[Row]:
    """AP and Dice of every case, by both weights."""
    for case in list_cases(data_folder() / "cases"):
        scan = read_scan(case.scan)
        truth = read_label(case)
        row: Row = {"sequence": case.sequence, "disease": case.disease, "patient": case.patient}
        for side, found in _detect(detectors, scan, case.sequence).items():
            brain = (found.brain_mask.data > 0) & ~truth.open
            mask = (found.anomaly_mask.data > 0) & ~truth.open
            row[f"ap_{side}"] = average_precision(found.anomaly_map.data, truth.lesion.data, brain)
            row[f"dice_{side}"] = dice(mask, truth.lesion.data)
        yield row


def measure_healthy(detectors: dict[str, Detector], count: int) -> Iterator[Row]:
    """Volume found in healthy heads that training never saw, by both weights."""
    for head in healthy_heads(count):
        scan = read_scan(head)
        try:
            detections = _detect(detectors, scan, "T1w")
        except AnatomalyError as error:
            print(f"{head.name}: left out: {error}", flush=True)
            continue
        row: Row = {"person": head.name.split("_")[0]}
        for side, found in detections.items():
            mask, brain = found.anomaly_mask, found.brain_mask
            wrong = false_positives(mask.data > 0, brain.data > 0, mask.voxel_volume_mm3)
            row |= {f"{name}_{side}": value for name, value in wrong._asdict().items()}
        yield row


def measure_phantoms(detectors: dict[str, Detector], count: int) -> Iterator[Row]:
    """Volume and place of the planted lesion of so many phantoms a sequence, by both weights."""
    for sequence in SEQUENCES:
        for seed in range(count):
            phantom = make_phantom(sequence, seed)
            scan = scan_from_image(phantom.scan)
            row: Row = {"sequence": sequence, "seed": seed, "ml": phantom.lesion_volume_mm3 / 1000}
            for side, found in _detect(detectors, scan, sequence).items():
                recovery = measure_recovery(phantom.lesion_mask, found.anomaly_mask)
                row[side] = None if recovery is None else vars(recovery)
                row[f"by_threshold_{side}"] = _volume_ratios(phantom, found)
            yield row


def _volume_ratios(phantom: Phantom, found: Detection) -> dict[str, float | None]:
    """Found over planted volume of the lesion at each of `CUTS` (a word for JSON)."""
    ratios = {}
    for cut in CUTS:
        mask = Volume(found.anomaly_map.data > cut, found.anomaly_map.affine)
        recovery = measure_recovery(phantom.lesion_mask, mask)
        ratios[str(cut)] = recovery.volume_ratio if recovery else None
    return ratios


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", required=True, help="a folder of weights")
    parser.add_argument("--after", default="default")
    parser.add_argument("--parts", nargs="*", default=["cases", "healthy", "phantoms"])
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument("--phantoms", type=int, default=3, help="of each sequence")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    keep_freed_memory()
    told = zip(SIDES, (arguments.before, arguments.after), strict=True)
    detectors = {side: Detector(DetectConfig(weights=weights)) for side, weights in told}
    cards = {side: detector.card for side, detector in detectors.items()}
    path = arguments.output / "release.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    weights = {s: [c.name, c.sha256[:16], c.scorer_sha256[:16]] for s, c in cards.items()}
    if found.get("weights") != weights:
        found = {"weights": weights}
    found["thresholds"] = {s: dict(c.thresholds) for s, c in cards.items()}
    measures = {
        "cases": lambda: measure_cases(detectors),
        "healthy": lambda: measure_healthy(detectors, arguments.heads),
        "phantoms": lambda: measure_phantoms(detectors, arguments.phantoms),
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    for part in arguments.parts:
        rows = []
        for row in measures[part]():
            print(part, *row.values(), flush=True)
            rows.append(row)
        found[part] = rows
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = as_markdown(found)
    (arguments.output / "release.md").write_text(text, encoding="utf-8")


def as_markdown(found: dict[str, Any]) -> str:
    """Return the tables of what was measured."""
    names = {side: found["weights"][side][0] for side in SIDES}
    lines = [f"# {names['before']} and {names['after']}", ""]
    lines += ["Both weights in one run, each with the thresholds of its card.", ""]
    if "cases" in found:
        lines += ["## Real cases", "", *_case_lines(found["cases"], names), ""]
    if "healthy" in found:
        lines += ["## Healthy T1w heads", "", *_healthy_lines(found["healthy"], names), ""]
    if "phantoms" in found:
        lines += ["## Phantoms", "", *_phantom_lines(found["phantoms"], names), ""]
    lines += ["| weights | model | scorer | " + " | ".join(SEQUENCES) + " |", "|---|---|---|"]
    lines[-1] += "---:|" * len(SEQUENCES)
    for side in SIDES:
        cut = [str(found["thresholds"][side][sequence]) for sequence in SEQUENCES]
        lines.append("| " + " | ".join([*found["weights"][side], *cut]) + " |")
    return "\n".join([*lines, "", describe_run(COMMAND, SEED), ""])


def _case_lines(rows: list[Row], names: dict[str, str]) -> list[str]:
    """AP by group beside what was asked, then every case."""
    before, after = names.values()
    lines = [f"| | scans | AP, {before} | AP, {after} | asked | aim | Dice, {before} | "]
    lines[0] += f"Dice, {after} |"
    lines.append("|---|---:|" + "---:|" * 6)
    for (sequence, disease), asked in ASKED.items():
        own = [r for r in rows if (r["sequence"], r["disease"]) == (sequence, disease)]
        cells = [f"{sequence} {disease}", str(len(own))]
        cells += [_means(own, f"ap_{side}") for side in SIDES]
        cells += ["; ".join(f"{value:.2f}" for value in values) for values in asked]
        cells += [_means(own, f"dice_{side}") for side in SIDES]
        lines.append("| " + " | ".join(cells) + " |")
    gains = [[row[f"{name}_{side}"] for row in rows] for name in ("ap", "dice") for side in SIDES]
    people = [row["patient"] for row in rows]
    lines.append("")
    for name, first, second in (("AP", *gains[:2]), ("Dice", *gains[2:])):
        gain = paired_difference(second, first, people, seed=SEED)
        lines.append(
            f"{name} of all {len(rows)}, {after} minus {before}: {gain.mean:+.3f} "
            f"({gain.low:+.3f} to {gain.high:+.3f}, 95 % bootstrap over people)."
        )
    lines += ["", "| case | " + " | ".join(f"AP, {n}" for n in names.values()) + " | "]
    lines[-1] += " | ".join(f"Dice, {n}" for n in names.values()) + " |"
    lines.append("|---|" + "---:|" * 4)
    for row in rows:
        cells = [f"{row['sequence']} {row['patient']}"]
        cells += [f"{row[f'{name}_{side}']:.3f}" for name in ("ap", "dice") for side in SIDES]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _means(rows: list[Row], name: str) -> str:
    values = [row[name] for row in rows]
    single = "; ".join(f"{value:.3f}" for value in values)
    return f"{np.mean(values):.3f} ({single})"


def _healthy_lines(rows: list[Row], names: dict[str, str]) -> list[str]:
    lines = ["All that is found is false. Median, 95th percentile and largest, mL:", ""]
    lines += ["| weights | heads | median | 95 % | largest | pieces, median |", "|---|---:|---:|"]
    lines[-1] += "---:|" * 3
    for side, name in names.items():
        volumes = [row[f"volume_ml_{side}"] for row in rows]
        pieces = float(np.median([row[f"pieces_{side}"] for row in rows]))
        cells = [np.median(volumes), np.quantile(volumes, 0.95), max(volumes)]
        text = " | ".join(f"{value:.2f}" for value in cells)
        lines.append(f"| {name} | {len(rows)} | {text} | {pieces:g} |")
    return lines


def _phantom_lines(rows: list[Row], names: dict[str, str]) -> list[str]:
    lines = ["The lesion that was found at the place of the planted one:", ""]
    head = [f"{what}, {name}" for name in names.values() for what in ("volume", "mm off", "Dice")]
    lines += ["| phantom | planted mL | " + " | ".join(head) + " |", "|---|---:|" + "---:|" * 6]
    for row in rows:
        cells = [f"{row['sequence']} {row['seed']}", f"{row['ml']:.1f}"]
        for side in SIDES:
            found = row[side]
            cells += (
                ["not found", "", ""]
                if found is None
                else [
                    f"{found['volume_ratio']:.0%}",
                    f"{found['distance_mm']:.1f}",
                    f"{found['dice']:.2f}",
                ]
            )
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Its volume by threshold:", ""]
    lines += ["| phantom | weights | " + " | ".join(str(cut) for cut in CUTS) + " |"]
    lines += ["|---|---|" + "---:|" * len(CUTS)]
    for row in rows:
        for side, name in names.items():
            ratios = row.get(f"by_threshold_{side}", {})
            at_cuts = [ratios.get(str(cut)) for cut in CUTS]
            cells = ["–" if ratio is None else f"{ratio:.0%}" for ratio in at_cuts]
            lines.append(
                f"| {row['sequence']} {row['seed']} | {name} | " + " | ".join(cells) + " |"
            )
    return lines


if __name__ == "__main__":
    main()
