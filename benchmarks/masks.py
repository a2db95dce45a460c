"""From the refined score to a mask: probabilities, threshold and growth, on drawn scans.

    ANATOMALY_DATA=/path/to/data python benchmarks/masks.py [--weights NAME] [--run runs/first]

The scans are those of `validation.py` (people and lesion shapes that training never saw), lesions
and healthy ones. For each sequence a slope and an offset make the logit that of a probability; for
each share of the threshold down to which findings grow, the threshold is the lowest at which half
of the healthy scans have at most 1 mL and 95 % at most 5 mL. `--write-card` puts probabilities,
thresholds and what healthy brains show into the card of the weights. Writes masks.json, masks.md
and reliability.png; what masks.json holds of other sequences stays.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from environment import describe_run
from matplotlib.figure import Figure
from scipy import ndimage
from scipy.special import expit
from validation import add_scan_options, drawn_scans

from anatomaly.anomaly.score import anomaly_map, anomaly_mask
from anatomaly.evaluation.metrics import average_precision, dice, oracle_dice
from anatomaly.evaluation.metrics_lesionwise import lesion_figures, match_lesions
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.healthy_volume import measure_healthy_volume
from anatomaly.method import REFINED
from anatomaly.networks import Networks, load_networks
from anatomaly.score import prepared_logit
from anatomaly.thresholds import choose_threshold
from anatomaly.training.probability import (
    fit_probability,
    join_samples,
    reliability,
    sample_voxels,
)
from anatomaly.training.validation import VALIDATION_SEED, ValidationScan
from anatomaly.types import SEQUENCES, BoolArray, FloatArray, MrSequence
from anatomaly.volume import Volume
from anatomaly.weights import find_weights
from anatomaly.weights_card import WeightsCard, update_card

SHARES = (1.0, 0.7, 0.5)


class Scored(NamedTuple):
    """One drawn scan, cut to its brain: anomaly map, truth and brain mask."""

    anomaly_map: FloatArray
    lesion: BoolArray
    brain_mask: BoolArray


def score_scans(
    scans: Iterator[ValidationScan], networks: Networks, cache: Path, kind: str
) -> list[tuple[ValidationScan, FloatArray]]:
    """Score every scan; logits are kept in the cache of the run, which a killed one goes on with.

    Args:
        scans: of one sequence.
        networks: with the scorer.
        cache: for these weights.
        kind: names the files.
    """
    cache.mkdir(parents=True, exist_ok=True)
    found = []
    for number, scan in enumerate(scans):
        path = cache / f"{scan.prepared.sequence}_{kind}_{number:02d}.npy"
        if not path.is_file():
            total = prepared_logit(networks, scan.prepared).total()[0, 0].cpu().numpy()
            np.save(path, total.astype(np.float16))
            print(path.stem, flush=True)
        found.append((scan, np.load(path).astype(np.float32)))
    return found


def to_map(scan: ValidationScan, logit: FloatArray, calibration: tuple[float, float]) -> Scored:
    """Return the anomaly map of a calibrated logit."""
    brain = scan.prepared.brain_mask
    probability = expit(calibration[0] * logit + calibration[1]) * brain
    whole = anomaly_map(torch.from_numpy(probability)[None, None], brain, REFINED)
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    return Scored(whole[box], scan.lesion[box], brain[box])


def cut(scored_map: FloatArray, threshold: float, share: float) -> BoolArray:
    """Return the mask as `detect` cuts it, with another growth."""
    volume = Volume(scored_map, TEMPLATE_AFFINE)
    inside = volume.with_data(scored_map > 0)
    mask = anomaly_mask(volume, inside, threshold, replace(REFINED, grow_share=share))
    return np.asarray(mask.data > 0)


def volume_at(scored_map: FloatArray, threshold: float, share: float) -> float:
    """ML of that mask."""
    return float(cut(scored_map, threshold, share).sum()) / 1000


def measure_share(lesions: list[Scored], healthy: list[FloatArray], share: float) -> dict[str, Any]:
    """Threshold by the rule for one share, and what it finds."""
    threshold = choose_threshold(healthy, partial(volume_at, share=share))
    masks = [cut(scored.anomaly_map, threshold, share) for scored in lesions]
    truths = [scored.lesion for scored in lesions]
    figures = lesion_figures(match_lesions(m, t, 1.0) for m, t in zip(masks, truths, strict=True))
    return {
        "threshold": threshold,
        "dice": [round(dice(m, t), 4) for m, t in zip(masks, truths, strict=True)],
        "f1": round(figures.f1, 3),
        "sensitivity": round(figures.sensitivity, 3),
        "false_pieces": figures.false_positives,
    }


def measure(
    sequence: MrSequence, networks: Networks, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Measure one sequence."""
    card, run = networks.card, arguments.run / "cache"
    drawn = drawn_scans(run, sequence, {"lesion": arguments.count, "healthy": arguments.healthy})
    logits = run / f"logits-{card.sha256[:8]}-{card.scorer_sha256[:8]}"
    scored = {k: score_scans(s, networks, logits, k) for k, s in drawn.items()}
    voxels = join_samples(
        sample_voxels(logit, scan.lesion, scan.prepared.brain_mask)
        for kind in scored.values()
        for scan, logit in kind
    )
    calibration = fit_probability(voxels)
    maps = {
        kind: [to_map(scan, logit, calibration) for scan, logit in rows]
        for kind, rows in scored.items()
    }
    lesions, healthy = maps["lesion"], [s.anomaly_map for s in maps["healthy"]]
    return {
        "kinds": [scan.kind for scan, _ in scored["lesion"]],
        "probability": calibration,
        "before": reliability(voxels, (1.0, 0.0)),
        "after": reliability(voxels, calibration),
        "ap": [round(average_precision(*s), 4) for s in lesions],
        "oracle": [round(oracle_dice(*s), 4) for s in lesions],
        "shares": {str(share): measure_share(lesions, healthy, share) for share in SHARES},
        "healthy_ml": measure_healthy_volume(
            healthy, partial(volume_at, share=REFINED.grow_share)
        ).to_json(),
    }


def main() -> None:
    """Measure the sequences, write the tables, and the card if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_scan_options(parser)
    parser.add_argument("--write-card", action="store_true")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    record = arguments.output / "masks.json"
    found = json.loads(record.read_text()) if record.is_file() else {}
    networks = load_networks(arguments.weights, [REFINED])
    card = networks.card
    found |= {s: measure(s, networks, arguments) for s in SEQUENCES if s in arguments.sequence}
    found = {s: found[s] for s in SEQUENCES if s in found}
    record.write_text(json.dumps(found, indent=1) + "\n")
    (arguments.output / "masks.md").write_text(as_markdown(found, card, arguments))
    draw_reliability(found, arguments.output / "reliability.png")
    if arguments.write_card:
        own = str(REFINED.grow_share)
        update_card(
            find_weights(arguments.weights),
            {
                "probability": card.probability
                | {s: list(row["probability"]) for s, row in found.items()},
                "thresholds": card.thresholds
                | {s: row["shares"][own]["threshold"] for s, row in found.items()},
                "healthy_ml": card.healthy_ml | {s: row["healthy_ml"] for s, row in found.items()},
            },
        )


def as_markdown(found: dict[str, Any], card: WeightsCard, arguments: argparse.Namespace) -> str:
    """Return the tables."""
    lines = [
        "# Masks on validation",
        "",
        f"{arguments.count} drawn scans with lesions and {arguments.healthy} healthy ones a",
        "sequence. The threshold is the lowest that keeps healthy scans within 1 mL (half of them)",
        "and 5 mL (95 %); findings grow down to a share of it. Dice is the mean over scans; the",
        "oracle takes the best threshold of each scan; F1, sensitivity and false pieces count",
        f"lesions of all scans together. `detect` uses the share {REFINED.grow_share}.",
        "",
        "| sequence | AP | oracle Dice | grown to | threshold | Dice | of the oracle | F1 | "
        "sensitivity | false pieces |",
        "|---|" + "---:|" * 9,
    ]
    for sequence, row in found.items():
        oracle = np.mean(row["oracle"])
        for share, one in row["shares"].items():
            mean = np.mean(one["dice"])
            cells = [
                sequence, f"{np.mean(row['ap']):.3f}", f"{oracle:.3f}", share,
                f"{one['threshold']:.3f}", f"{mean:.3f}", f"{mean / oracle:.2f}",
                f"{one['f1']:.2f}", f"{one['sensitivity']:.2f}", str(one["false_pieces"]),
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Probabilities (reliability.png): slope and offset of the logit.", ""]
    lines += ["| sequence | slope | offset | worst bin before | after |", "|---|" + "---:|" * 4]
    for sequence, row in found.items():
        slope, offset = row["probability"]
        worst = [max(abs(p - s) for p, s, ml in row[k] if ml > 1) for k in ("before", "after")]
        lines.append(f"| {sequence} | {slope} | {offset} | {worst[0]:.2f} | {worst[1]:.2f} |")
    lines += [
        "",
        describe_run("python benchmarks/masks.py", VALIDATION_SEED, card),
        "",
    ]
    return "\n".join(lines)


def draw_reliability(found: dict[str, Any], path: Path) -> None:
    """Draw the share of lesion against the probability, before and after calibration."""
    figure = Figure(figsize=(3.2 * len(found), 3.2), layout="constrained")
    for axes, (sequence, row) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for kind, style in (("before", "o--"), ("after", "s-")):
            points = [(p, s) for p, s, ml in row[kind] if ml > 0.2]
            axes.plot(*zip(*points, strict=True), style, markersize=4, label=kind)
        axes.set(title=sequence, xlabel="probability", ylabel="share of lesion")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
