"""Choices on validation: route, contrast and score, and thresholds from healthy brains.

    ANATOMALY_DATA=/path/to/data python benchmarks/validation.py [--weights NAME] [--run runs/first]

Whole brains of the validation people, drawn by the generator with lesion shapes that training never
saw (seeded, balanced over seven kinds of lesion); the healthy ones have no lesion and keep the
person's own anatomy, undeformed. `--run` names a folder whose `cache/` is used. Writes
validation.json and validation.md into `--output`; what is in the first already, of these weights,
and is not measured again (`--sequence`, `--rows`) stays.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from environment import RESULTS, ROOT, data_folder, describe_run, healthy_heads

from anatomaly.evaluation.baselines.intensity_threshold import intensity_score
from anatomaly.evaluation.metrics import average_precision, dice
from anatomaly.networks import Networks, load_networks
from anatomaly.score import score_methods
from anatomaly.thresholds import healthy_threshold
from anatomaly.training.choose import CANDIDATES, PAPER_NAME, is_possible
from anatomaly.training.cohort import Subject, load_cohort, prepare_scans
from anatomaly.training.synthesis.lesion_shapes import LesionShape, load_shapes
from anatomaly.training.validation import (
    HEALTHY,
    VALIDATION_SEED,
    ValidationScan,
    cached_validation,
    draw_validation,
)
from anatomaly.types import SEQUENCES, FloatArray, MrSequence
from anatomaly.weights import find_weights, preparation_hash
from anatomaly.weights_card import WeightsCard, read_card

PEOPLE = 20
FILES = {"lesion": "lesion-7", "healthy": "own"}
"""Names of the cached files: under others lie scans that earlier versions drew in another way."""
BASELINE = "intensity threshold"
MOST_VOXELS = 6000
"""Of a healthy map only its highest values matter for the threshold: 6 mL."""


CUTS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Thresholds of the refined score whose Dice is measured."""

MAY_BE_DEFAULT = (PAPER_NAME, "both routes", "refined")
"""Rows whose threshold is measured."""


def score_rows(
    networks: Networks, scan: ValidationScan, rows: tuple[str, ...]
) -> Iterator[tuple[str, FloatArray]]:
    """Yield the map of every row."""
    scored = score_methods(networks, scan.prepared, [CANDIDATES[row] for row in rows])
    for row, one in zip(rows, scored, strict=True):
        yield row, one.anomaly_map


class Found(NamedTuple):
    """Of one sequence: AP of each scan for each row, kinds of lesion, thresholds of each row.

    `dice` holds, for rows of the refined score, that of each scan at each of `CUTS`.
    """

    precision: dict[str, list[float]]
    kinds: list[str]
    thresholds: dict[str, float]
    dice: dict[str, list[list[float]]]


def measure_sequence(
    networks: Networks, rows: tuple[str, ...], scans: dict[str, Iterator[ValidationScan]]
) -> Found:
    """Measure one sequence; `scans` holds `lesion` and `healthy` (for the thresholds)."""
    precision: dict[str, list[float]] = defaultdict(list)
    overlap: dict[str, list[list[float]]] = {}
    kinds = []
    for scan in scans["lesion"]:
        kinds.append(scan.kind)
        image, brain = scan.prepared, scan.prepared.brain_mask
        baseline = intensity_score(image.image, brain, image.sequence)
        for name, score in ((BASELINE, baseline), *score_rows(networks, scan, rows)):
            precision[name].append(average_precision(score, scan.lesion, brain))
            if name.startswith("refined"):
                shares = [dice(score > cut, scan.lesion) for cut in CUTS]
                overlap.setdefault(name, []).append(shares)
        print(scan.kind, {n: round(v[-1], 2) for n, v in precision.items()}, flush=True)
    quiet: dict[str, list[FloatArray]] = defaultdict(list)
    quick = tuple(row for row in rows if row.startswith(MAY_BE_DEFAULT))
    for scan in scans["healthy"]:
        for name, score in score_rows(networks, scan, quick):
            quiet[name].append(np.sort(score, axis=None)[-MOST_VOXELS:])
    thresholds = {name: healthy_threshold(maps, 0.001) for name, maps in quiet.items()}
    return Found(precision, kinds, thresholds, overlap)


def validation_people(cache: Path) -> list[Subject]:
    """Return the people that training never saw, prepared where the cache lacks them."""
    heads = healthy_heads(PEOPLE)
    pairs = [(s, s.with_name(s.name.replace("_T1w", "_dlmuse"))) for s in heads]
    for _ in prepare_scans(pairs, cache / "validation"):
        pass
    return load_cohort(cache / "validation")


def validation_shapes(cache: Path) -> list[LesionShape]:
    """Return the shapes of lesions that training never saw."""
    return load_shapes(data_folder() / "lesion_masks_mni", cache, held_out=True)


def drawn_scans(
    cache: Path, sequence: MrSequence, counts: dict[str, int]
) -> dict[str, Iterator[ValidationScan]]:
    """Return the drawn scans of a sequence, drawn where the cache lacks them.

    Args:
        cache: of a run; its people are prepared where they are missing.
        sequence: of all scans.
        counts: how many of the kinds `lesion` and `healthy`.
    """
    people, shapes = validation_people(cache), validation_shapes(cache)
    draws = {
        "lesion": draw_validation(people, shapes, sequence, counts.get("lesion", 0)),
        "healthy": draw_validation(people, [], sequence, counts.get("healthy", 0), kinds=HEALTHY),
    }
    folder = cache / f"drawn-{VALIDATION_SEED}-{preparation_hash()}"
    return {
        kind: cached_validation(folder, draws[kind], sequence, count, FILES.get(kind, kind))
        for kind, count in counts.items()
    }


def add_scan_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which weights and which drawn scans."""
    parser.add_argument("--weights", default="default")
    parser.add_argument("--run", type=Path, default=ROOT / "runs")
    parser.add_argument("--count", type=int, default=21, help="drawn lesions a sequence")
    parser.add_argument("--healthy", type=int, default=32, help="drawn healthy scans a sequence")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--sequence", nargs="*", default=list(SEQUENCES))


def main() -> None:
    """Draw, score, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_scan_options(parser)
    parser.add_argument("--rows", nargs="+", default=[""], help="only rows that begin so")
    arguments = parser.parse_args()
    counts = {"lesion": arguments.count, "healthy": arguments.healthy}
    card = read_card(find_weights(arguments.weights))
    rows = tuple(
        name
        for name, method in CANDIDATES.items()
        if name.startswith(tuple(arguments.rows)) and is_possible(method, card)
    )
    networks = load_networks(arguments.weights, [CANDIDATES[row] for row in rows])
    record = arguments.output / "validation.json"
    refuse_other_weights(record, card)
    if any(len(found.kinds) != arguments.count for found in read_found(record).values()):
        raise SystemExit(f"{record}: measured on another number of scans; remove it")
    for sequence in (name for name in SEQUENCES if name in arguments.sequence):
        print(sequence)
        scans = drawn_scans(arguments.run / "cache", sequence, counts)
        found = measure_sequence(networks, rows, scans)
        merge(record, sequence, found, card)
    text = as_markdown(read_found(record), card, counts)
    (arguments.output / "validation.md").write_text(text, encoding="utf-8")


def read_found(path: Path) -> dict[str, Found]:
    """Return what the file holds, in the order of the sequences; nothing without a file."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    return {name: Found(**content[name]) for name in SEQUENCES if name in content}


def refuse_other_weights(path: Path, card: WeightsCard) -> None:
    """Stop where the file holds what was measured with other weights."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    if content and content.get("weights") != [card.sha256, card.scorer_sha256]:
        raise SystemExit(f"{path}: measured with other weights; remove it")


def merge(path: Path, sequence: str, found: Found, card: WeightsCard) -> None:
    """Put what was found into the file; its other rows and sequences stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = read_found(path)
    old = columns.get(sequence, Found({}, [], {}, {}))
    if old.kinds and old.kinds != found.kinds:
        raise SystemExit(f"{path}: measured on other scans; remove it")
    precision, thresholds = old.precision | found.precision, old.thresholds | found.thresholds
    ordered = {name: precision[name] for name in (BASELINE, *CANDIDATES) if name in precision}
    columns[sequence] = Found(ordered, found.kinds, thresholds, old.dice | found.dice)
    content: dict[str, object] = {"weights": [card.sha256, card.scorer_sha256]}
    content |= {name: column._asdict() for name, column in columns.items()}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def as_markdown(columns: dict[str, Found], card: WeightsCard, counts: dict[str, int]) -> str:
    """Return the tables."""
    kinds = sorted({kind for found in columns.values() for kind in found.kinds})
    lines = [
        "# Choices on validation",
        "",
        f"Mean AP over {counts['lesion']} drawn scans a sequence (people and lesion shapes new to",
        f"training, balanced over {len(kinds)} kinds of lesion), working grid; in brackets the",
        f"threshold at which half of {counts['healthy']} drawn healthy brains have at most 1 mL",
        "above it and 95 % at most 5 mL. Each row of `…` changes the paper's choice in what it",
        "names.",
        "",
        "| score | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    lines += [f"| {name} | {_cells(name, columns)} |" for name in _rows(columns)]
    lines += ["", "By kind of lesion, all sequences:", ""]
    lines += ["| score | " + " | ".join(kinds) + " |", "|---|" + "---:|" * len(kinds)]
    lines += [f"| {name} | {_kind_cells(name, columns, kinds)} |" for name in _rows(columns)]
    if any(found.dice for found in columns.values()):
        lines += ["", "Mean Dice of the refined score on the same scans, by threshold:", ""]
        lines += ["| sequence | score | " + " | ".join(str(cut) for cut in CUTS) + " |"]
        lines += ["|---|---|" + "---:|" * len(CUTS)]
        for sequence, found in columns.items():
            for name, shares in found.dice.items():
                cells = [sequence, name, *(f"{share:.3f}" for share in np.mean(shares, axis=0))]
                lines.append("| " + " | ".join(cells) + " |")
    lines += ["", describe_run("python benchmarks/validation.py", VALIDATION_SEED, card), ""]
    return "\n".join(lines)


def _rows(columns: dict[str, Found]) -> list[str]:
    found = {name for column in columns.values() for name in column.precision}
    return [name for name in (BASELINE, *CANDIDATES) if name in found]


def _cells(name: str, columns: dict[str, Found]) -> str:
    cells = []
    for found in columns.values():
        if name not in found.precision:
            cells.append("–")
            continue
        mean = f"{np.mean(found.precision[name]):.3f}"
        bracket = f" ({found.thresholds[name]:.3f})" if name in found.thresholds else ""
        cells.append(mean + bracket)
    return " | ".join(cells)


def _kind_cells(name: str, columns: dict[str, Found], kinds: list[str]) -> str:
    cells = []
    for kind in kinds:
        values = [
            value
            for found in columns.values()
            for value, of in zip(found.precision.get(name, ()), found.kinds, strict=False)
            if of == kind
        ]
        whole = all(name in found.precision for found in columns.values())
        cells.append(f"{np.mean(values):.3f}" if whole else "–")
    return " | ".join(cells)


if __name__ == "__main__":
    main()
