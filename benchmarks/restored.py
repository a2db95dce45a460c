"""What each kind of edges buys: restored tissue, healthy anatomy inside lesions, the paper's score.

    ANATOMALY_DATA=/path/to/data python benchmarks/restored.py [--weights NAME] [--run runs/first]

Whole brains of the validation people with lesions whose shapes training never saw, both images of a
pair, in turn of two sequences. The extractor finds the tissue map, the restorer of each kind
rebuilds it from its edges alone, and the paper's score (learned contrast, both signs) is taken on
the route of each kind and on the route without edges. `--run` names a folder whose `cache/` is
used. Writes restored.json and restored.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import RESULTS, ROOT, describe_run
from numpy.typing import NDArray
from validation import validation_people, validation_shapes

from anatomaly.evaluation.experiments.tissue_agreement import tissue_dice
from anatomaly.evaluation.metrics import average_precision
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.method import PAPER, PAPER_NO_EDGES
from anatomaly.networks import Networks, as_tensor, keep_freed_memory, load_networks, running
from anatomaly.score import extract_anatomy, score_prepared
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.validation import ValidationScan
from anatomaly.types import EDGE_KINDS, SEQUENCES
from anatomaly.volume import PreparedImage
from anatomaly.weights_card import WeightsCard

SEED = 990_701
LESION_SHARE, SMALLEST_LESION = 0.5, 100
NO_EDGES = "no edges"
Row = dict[str, Any]
Classes = NDArray[np.uint8]


@torch.inference_mode()
def measure(networks: Networks, scan: ValidationScan, truth: Classes) -> Row:
    """Measure one image: all kinds of edges, and none.

    Args:
        networks: with restorers of some kinds.
        scan: with its lesion.
        truth: (160, 192, 160), tissue of the healthy anatomy, 0 to 3.
    """
    model, prepared = networks.model, scan.prepared
    row: Row = {"sequence": prepared.sequence}
    kinds = [kind for kind in EDGE_KINDS if kind in model.anatomy_restorers]
    outside = prepared.brain_mask & ~scan.lesion
    anatomy = extract_anatomy(model, as_tensor(prepared.image))
    tissue = anatomy.tissue_map[0].argmax(0).numpy()
    for way in (*kinds, NO_EDGES):
        method, restored = PAPER_NO_EDGES, tissue
        if way != NO_EDGES:
            model.use_edges(way)  # type: ignore[arg-type]
            edges = model.find_edges(anatomy.tissue_map)
            with running():
                shares = model.anatomy_restorer(edges, anatomy.context)
            method, restored = PAPER, shares[0].argmax(0).numpy()
        scored = score_prepared(networks, prepared, method).anomaly_map
        row[way] = {
            "agreement": astuple(tissue_dice(restored * outside, tissue * outside)),
            "truth": astuple(tissue_dice(restored * outside, truth * outside)),
            "inside": float((restored == truth)[scan.lesion].mean()),
            "ap": average_precision(scored, scan.lesion, prepared.brain_mask),
        }
    return row


def scans(cache: Path, count: int) -> Iterator[tuple[ValidationScan, Classes]]:
    """Yield drawn scans and the tissue of the healthy anatomy, two of each pair."""
    third = 1 / 3
    settings = GeneratorConfig(
        patch=TEMPLATE_SHAPE, seed=SEED, sequence_shares=(third, third, third, 0.0)
    )
    pairs = PairGenerator(validation_people(cache), validation_shapes(cache), settings)
    index = drawn = 0
    while drawn < count:
        pair, index = pairs[index], index + 1
        lesion = pair["lesion"][0].numpy() >= LESION_SHARE
        if lesion.sum() < SMALLEST_LESION:
            continue
        brain, truth = pair["brain"][0].numpy() > 0, pair["tissue"].numpy().astype(np.uint8)
        for member in (0, 1):
            sequence = SEQUENCES[int(pair["sequence"][member])]
            drawn += 1
            image = PreparedImage(pair["image"][member, 0].numpy(), brain, sequence)
            yield ValidationScan(image, lesion), truth


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--run", type=Path, default=ROOT / "runs")
    parser.add_argument("--count", type=int, default=42)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    keep_freed_memory()
    networks = load_networks(arguments.weights, [PAPER])
    rows = []
    for scan, truth in scans(arguments.run / "cache", arguments.count):
        rows.append(measure(networks, scan, truth))
        print(len(rows), scan.prepared.sequence, flush=True)
    (arguments.output / "restored.json").write_text(json.dumps(rows, indent=1) + "\n")
    (arguments.output / "restored.md").write_text(as_markdown(rows, networks.card))


def as_markdown(rows: list[Row], card: WeightsCard) -> str:
    """Return the tables."""
    ways = [way for way in (*EDGE_KINDS, NO_EDGES) if way in rows[0]]
    lines = [
        "# What edges restore",
        "",
        f"{len(rows)} drawn scans of people and with shapes of lesions that training did not see,",
        "whole brains. `agreement`: Dice of the restored tissue with the extractor's map, from",
        "whose edges it was made, outside the lesion; `truth`: with the healthy anatomy that was",
        "drawn; `inside`: share of the lesion's voxels that have their healthy tissue back.",
        "",
        "| edges | agreement CSF | grey | white | truth CSF | grey | white | inside |",
        "|---|" + "---:|" * 7,
    ]
    for way in ways:
        cells = [float(v) for k in ("agreement", "truth") for v in _mean(rows, way, k)]
        cells.append(float(_mean(rows, way, "inside")))
        lines.append(f"| {way} | " + " | ".join(f"{value:.3f}" for value in cells) + " |")
    lines += [
        "",
        "AP of the paper's score on these scans: learned contrast, both signs; in brackets its",
        "share of the AP without edges.",
        "",
        "| edges | " + " | ".join(SEQUENCES) + " | all |",
        "|---|" + "---:|" * (len(SEQUENCES) + 1),
    ]
    parts = [[row for row in rows if row["sequence"] == name] for name in SEQUENCES] + [rows]
    for way in ways:
        means = [(float(_mean(p, way, "ap")), float(_mean(p, NO_EDGES, "ap"))) for p in parts]
        cells_ap = [f"{mean:.3f} ({mean / without:.2f})" for mean, without in means]
        lines.append(f"| {way} | " + " | ".join(cells_ap) + " |")
    counts = ", ".join(f"{name} {len(part)}" for name, part in zip(SEQUENCES, parts, strict=False))
    lines += ["", f"Scans: {counts}.", ""]
    return "\n".join([*lines, describe_run("python benchmarks/restored.py", SEED, card), ""])


def _mean(rows: list[Row], way: str, name: str) -> Any:
    return np.mean([row[way][name] for row in rows], axis=0)


if __name__ == "__main__":
    main()
