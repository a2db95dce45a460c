"""Choices on validation: AP of score variants, and thresholds from healthy brains.

    ANATOMALY_DATA=/path/to/data python benchmarks/validation.py [--weights NAME] [--run runs/first]

Whole brains of the validation people, drawn by the generator with lesion shapes that training never
saw (seeded); the healthy ones are drawn the same way without a lesion. `--run` names a folder whose
`cache/` is used. Writes benchmarks/results/validation.md and prints thresholds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from environment import RESULTS, ROOT, data_folder, describe_run

from anatomaly.evaluation.baselines.intensity_threshold import intensity_score
from anatomaly.evaluation.metrics import average_precision
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.cohort import load_cohort, prepare_scans
from anatomaly.training.synthesis.lesions import load_shapes
from anatomaly.training.validation import (
    VALIDATION_SEED,
    VARIANTS,
    ValidationScan,
    cached_validation,
    draw_validation,
    healthy_threshold,
    rebuild_scan,
    score_scan,
    structural_difference,
)
from anatomaly.types import SEQUENCES, FloatArray, Route
from anatomaly.weights import load_weights

PEOPLE = 10
ROUTES: tuple[Route, ...] = get_args(Route)


def measure_ap(
    model: PseudoHealthyModel,
    scans: Iterator[ValidationScan],
    found: dict[tuple[str, str], list[float]],
) -> None:
    """Append the AP of the intensity threshold and of every route and variant."""
    for scan in scans:
        baseline = intensity_score(scan.image, scan.brain_mask, scan.sequence)
        ap = average_precision(baseline, scan.lesion, scan.brain_mask)
        found[scan.sequence, "intensity threshold"].append(ap)
        for route in ROUTES:
            rebuilt = rebuild_scan(model, scan, route)
            structure = structural_difference(rebuilt)
            for name, variant in VARIANTS.items():
                score = score_scan(rebuilt, structure, scan, variant)
                ap = average_precision(score, scan.lesion, scan.brain_mask)
                found[scan.sequence, f"{route}: {name}"].append(ap)


def find_thresholds(model: PseudoHealthyModel, healthy: list[ValidationScan]) -> dict[str, float]:
    """Return the threshold of each route and score that keeps the false-positive budget."""
    thresholds = {}
    for route in ROUTES:
        maps: dict[str, list[FloatArray]] = defaultdict(list)
        for scan in healthy:
            rebuilt = rebuild_scan(model, scan, route)
            structure = structural_difference(rebuilt)
            for name in ("hybrid", "residual"):
                maps[name].append(score_scan(rebuilt, structure, scan, VARIANTS[name]))
        for name, found in maps.items():
            thresholds[f"{route}: {name}"] = round(healthy_threshold(found, 0.001), 4)
    return thresholds


def main() -> None:
    """Draw, score, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--run", type=Path, default=ROOT / "runs")
    parser.add_argument("--count", type=int, default=4, help="scans a sequence, of each kind")
    parser.add_argument("--sequence", nargs="+", default=list(SEQUENCES))
    arguments = parser.parse_args()
    cache = arguments.run / "cache"
    scans = sorted((data_folder() / "ixi_t1_2mm" / "validation").glob("*_T1w.nii.gz"))
    pairs = [(s, s.with_name(s.name.replace("_T1w", "_dlmuse"))) for s in scans]
    for _ in prepare_scans(pairs[:PEOPLE], cache / "validation"):
        pass
    people = load_cohort(cache / "validation")
    shapes = load_shapes(data_folder() / "lesion_masks_mni", cache, held_out=True)
    state, card = load_weights(arguments.weights)
    model = PseudoHealthyModel()
    model.load_state_dict(state)
    model.eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    thresholds: dict[tuple[str, str], float] = {}
    count, cached = arguments.count, cache / "validation_scans"
    sequences = [name for name in SEQUENCES if name in arguments.sequence]
    for sequence in sequences:
        lesioned = cached_validation(
            cached, draw_validation(people, shapes, sequence, count), sequence, count, "lesion"
        )
        measure_ap(model, lesioned, found)
        draw = draw_validation(people, shapes, sequence, count, healthy=True)
        healthy = list(cached_validation(cached, draw, sequence, count, "healthy"))
        for name, threshold in find_thresholds(model, healthy).items():
            thresholds[sequence, name] = threshold
        print({k: round(float(np.mean(v)), 3) for k, v in found.items() if k[0] == sequence})
        print(sequence, thresholds, flush=True)
    lines = [
        "# Choices on validation",
        "",
        f"Mean AP over {count} drawn scans a sequence (people and lesion shapes that",
        "training never saw), on the working grid. Weights "
        f"{card.name}, SHA-256 {card.sha256[:16]}….",
        "",
        "| score | " + " | ".join(sequences) + " |",
        "|---|" + "---:|" * len(sequences),
    ]
    for name in dict.fromkeys(name for _, name in found):
        cells = (f"{np.mean(found[sequence, name]):.3f}" for sequence in sequences)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Thresholds at which half of the drawn healthy brains have at most 1 mL above it and 95 %",
        "at most 5 mL: " + "; ".join(f"{s} {r} {v}" for (s, r), v in thresholds.items()) + ".",
        "",
        describe_run("python benchmarks/validation.py", VALIDATION_SEED),
        "",
    ]
    (RESULTS / "validation.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
