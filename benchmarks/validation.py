"""Choices on validation: AP of score variants, and thresholds from healthy brains.

    ANATOMALY_DATA=/path/to/data python benchmarks/validation.py [--weights NAME] [--run runs/first]

Whole brains of the validation people, drawn by the generator with lesion shapes that training never
saw (seeded); the healthy ones are drawn the same way without a lesion. `--run` names a folder whose
`cache/` is used. Writes benchmarks/results/validation.md and prints thresholds.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
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
    cached_validation,
    draw_validation,
    healthy_threshold,
    rebuild_scan,
    score_scan,
)
from anatomaly.types import SEQUENCES, Route
from anatomaly.weights import load_weights

PEOPLE = 10
ROUTES: tuple[Route, ...] = get_args(Route)


def main() -> None:
    """Draw, score, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--run", type=Path, default=ROOT / "runs")
    parser.add_argument("--count", type=int, default=4, help="scans a sequence, of each kind")
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
    thresholds = {}
    for sequence in SEQUENCES:
        draw = draw_validation(people, shapes, sequence, arguments.count)
        cached = cache / "validation_scans"
        for scan in cached_validation(cached, draw, sequence, arguments.count, "lesion"):
            threshold = intensity_score(scan.image, scan.brain_mask, sequence)
            ap = average_precision(threshold, scan.lesion, scan.brain_mask)
            found[sequence, "intensity threshold"].append(ap)
            for route in ROUTES:
                rebuilt = rebuild_scan(model, scan, route)
                for name, variant in VARIANTS.items():
                    score = score_scan(rebuilt, scan, variant)
                    ap = average_precision(score, scan.lesion, scan.brain_mask)
                    found[sequence, f"{route}: {name}"].append(ap)
        draw = draw_validation(people, shapes, sequence, arguments.count, healthy=True)
        healthy = list(cached_validation(cached, draw, sequence, arguments.count, "healthy"))
        for route in ROUTES:
            rebuilt_all = [rebuild_scan(model, scan, route) for scan in healthy]
            for name in ("hybrid", "residual"):
                maps = [
                    score_scan(rebuilt, scan, VARIANTS[name])
                    for rebuilt, scan in zip(rebuilt_all, healthy, strict=True)
                ]
                budget = round(healthy_threshold(maps, 0.001), 4)
                thresholds[sequence, f"{route}: {name}"] = budget
        print({k: round(float(np.mean(v)), 3) for k, v in found.items() if k[0] == sequence})
        print(sequence, thresholds, flush=True)
    lines = [
        "# Choices on validation",
        "",
        f"Mean AP over {arguments.count} drawn scans a sequence (people and lesion shapes that",
        "training never saw), on the working grid. Weights "
        f"{card.name}, SHA-256 {card.sha256[:16]}….",
        "",
        "| score | " + " | ".join(SEQUENCES) + " |",
        "|---|" + "---:|" * len(SEQUENCES),
    ]
    for name in dict.fromkeys(name for _, name in found):
        cells = (f"{np.mean(found[sequence, name]):.3f}" for sequence in SEQUENCES)
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
