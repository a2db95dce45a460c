"""False positives of session maps (T1w, T2w and FLAIR fused by the maximum) in healthy people.

    ANATOMALY_DATA=/path/to/data python benchmarks/sessions.py [--run FOLDER] [--count 20]

People that training never saw: their real T1w scan as it is prepared, and a T2w and a FLAIR scan
drawn from it as for the thresholds of the weights (`training.validation.draw_validation`: the
person's own anatomy; noise, blur and normal variants drawn). The three lie on one grid, so errors
of registration are not in the figures. Each session is kept in FOLDER/sessions.json, and a killed
run goes on. Writes benchmarks/results/sessions.md after each.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from environment import RESULTS, ROOT, data_folder, describe_run
from numpy.typing import NDArray

from anatomaly.anomaly.fusion import FUSED_THRESHOLD, fuse_scores, relative_score
from anatomaly.anomaly.postprocess import threshold_map
from anatomaly.config import MOST_HEALTHY_ML, USUAL_HEALTHY_ML, AnomalyConfig
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.method import REFINED
from anatomaly.networks import Networks, load_networks
from anatomaly.preprocess.normalise import HIGH_VALUE
from anatomaly.score import score_prepared
from anatomaly.thresholds import join_thresholds, value_at_volume
from anatomaly.training.cohort import IMAGE_UNIT, Subject, load_cohort
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthetic import prepare_cohort
from anatomaly.types import SEQUENCES, BoolArray, FloatArray
from anatomaly.volume import PreparedImage, Volume
from anatomaly.weights_card import WeightsCard

SEED = 960_001
VOXEL_ML = 0.001

Row = dict[str, str | float]


def draw_session(person: Subject, number: int) -> list[PreparedImage]:
    """Take the real scan of a healthy person and draw two; the same number, the same voxels."""
    config = GeneratorConfig(
        patch=TEMPLATE_SHAPE,
        seed=SEED,
        lesions=False,
        deform=False,
        real_share=1.0,
        sequences=SEQUENCES[1:],
    )
    drawn = PairGenerator([person], [], config)[number]
    brain = drawn["brain"][0].numpy() > 0
    grey = np.array(person.image, dtype=np.float32) / IMAGE_UNIT  # 1 at the upper percentile
    real = np.clip(HIGH_VALUE * grey, 0, 1)
    if _overlap(brain, person.labels[::-1]) > _overlap(brain, person.labels):
        real = real[::-1]  # half of the people are drawn mirrored
    images = [real * brain, *(drawn["image"][index, 0].numpy() for index in range(2))]
    return [
        PreparedImage(np.ascontiguousarray(image), brain, sequence)
        for sequence, image in zip(SEQUENCES, images, strict=True)
    ]


def _overlap(brain: BoolArray, labels: NDArray[np.uint8]) -> int:
    """Return how many voxels of the brain have a label."""
    return int(np.count_nonzero(brain & (np.asarray(labels) > 0)))


def score_session(scans: list[PreparedImage], networks: Networks) -> dict[str, FloatArray]:
    """Return the relative score of each sequence, and of the session; .5 is where masks begin."""
    scores: dict[str, FloatArray] = {}
    for scan in scans:
        method = networks.card.method_for(scan.sequence)
        score = score_prepared(networks, scan, method).anomaly_map
        scores[scan.sequence] = relative_score(score, networks.card.thresholds[scan.sequence])
    return scores | {"session": fuse_scores(list(scores.values()))}


def describe(person: str, scores: dict[str, FloatArray], brain: BoolArray) -> Row:
    """Return mL above the threshold, small pieces dropped, and what a budget would ask for."""
    least = AnomalyConfig().min_lesion_mm3
    inside = Volume(brain, TEMPLATE_AFFINE)
    row: Row = {"person": person}
    for name, score in scores.items():
        mask = threshold_map(
            Volume(score, TEMPLATE_AFFINE), inside, FUSED_THRESHOLD, least, REFINED.grow_share
        )
        row[name] = round(float(mask.data.sum()) * VOXEL_ML, 3)
        row[f"{name} at half"] = value_at_volume(score, USUAL_HEALTHY_ML / VOXEL_ML)
        row[f"{name} at most"] = value_at_volume(score, MOST_HEALTHY_ML / VOXEL_ML)
    return row


def main() -> None:
    """Draw, score, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "sessions")
    parser.add_argument("--count", type=int, default=20, help="people; no more than there are")
    told = parser.parse_args()
    prepare_cohort(data_folder() / "ixi_t1_2mm" / "validation", told.run / "people", print)
    people = load_cohort(told.run / "people")[: told.count]
    networks = load_networks(told.weights)
    card = networks.card
    kept = told.run / "sessions.json"
    content = json.loads(kept.read_text()) if kept.is_file() else {}
    rows: dict[str, Row] = content.get(card.scorer_sha256, {})
    for number, person in enumerate(people):
        if person.name not in rows:
            scans = draw_session(person, number)
            scores = score_session(scans, networks)
            rows[person.name] = describe(person.name, scores, scans[0].brain_mask)
            print(rows[person.name], flush=True)
            kept.write_text(json.dumps(content | {card.scorer_sha256: rows}, indent=1) + "\n")
        (RESULTS / "sessions.md").write_text(write_table(list(rows.values()), card), "utf-8")


def write_table(rows: list[Row], card: WeightsCard) -> str:
    """Return the page."""
    names = [*SEQUENCES, "session"]
    lines = [
        "# False positives of session maps in healthy people",
        "",
        f"{len(rows)} healthy people: their real T1w scan, T2w and FLAIR drawn from it, on the",
        "working grid. mL above the threshold (pieces below 20 mm³ dropped). The session is the",
        "maximum of the three relative scores, cut at .5. `asked` is the relative score that",
        f"keeps to {USUAL_HEALTHY_ML:g} mL in half of them and {MOST_HEALTHY_ML:g} mL in 95 %; .5",
        "or less where the threshold in use keeps to it.",
        "",
        "| map | median mL | 95th percentile mL | largest mL | people without any | asked |",
        "|---|" + "---:|" * 5,
    ]
    for name in names:
        volumes = [float(row[name]) for row in rows]
        asked = join_thresholds(
            [float(row[f"{name} at half"]) for row in rows],
            [float(row[f"{name} at most"]) for row in rows],
        )
        figures = (np.median(volumes), np.quantile(volumes, 0.95), max(volumes))
        cells = " | ".join(f"{figure:.2f}" for figure in figures)
        lines.append(f"| {name} | {cells} | {volumes.count(0.0)} | {asked:.3f} |")
    lines += ["", "| person | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for row in rows:
        lines.append(f"| {row['person']} | " + " | ".join(f"{row[n]:.2f}" for n in names) + " |")
    lines += [
        "",
        describe_run("python benchmarks/sessions.py", SEED, card),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
