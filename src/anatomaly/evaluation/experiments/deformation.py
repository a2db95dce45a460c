"""Experiment 4: are deformation and atrophy kept, and so lost to the score?

The paper's first open question: edges keep the shape, so a change of shape alone is rebuilt as if
it were healthy. Two deformations of a healthy T1w brain: how much of them survives in the
pseudo-healthy anatomy, and how much shows in the score.

Source: the question is that of Yang et al. 2026, doi:10.1016/j.media.2025.103922.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.evaluation.experiments.deformed_brains import (
    AROUND_MM,
    DEFORMATIONS,
    changed_voxels,
    csf_ml,
    follow_change,
    wall_distance,
)
from anatomaly.evaluation.experiments.drawn_brains import DrawnBrain, draw_brain, means_of, render
from anatomaly.evaluation.experiments.panels import Panel, axial_panel, draw_panels
from anatomaly.evaluation.experiments.tissue_agreement import (
    class_indices,
    decode_tissue,
    learn_reading,
)
from anatomaly.evaluation.metrics import average_precision
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.method import PAPER
from anatomaly.networks import as_tensor
from anatomaly.pipeline import Detector
from anatomaly.score import extract_anatomy, restore_code, score_prepared
from anatomaly.types import FloatArray, SingleRoute
from anatomaly.volume import PreparedImage, Volume

SCANNER_UNITS = 1000.0
LEAST_ML = 3.0
"""A smaller change of volume is no base for a share."""

TRUTH, EXTRACTED = "truth", "extractor's map"
FROM_EDGES, FROM_MAP = "restored from edges", "restored without edges"
METHOD, SHIPPED = "method", "as used"


@dataclass(frozen=True)
class ShapeKept:
    """What one tissue map shows of one deformation.

    Attributes:
        brain: seed of the drawn brain.
        deformation: name.
        tissue_map: whose.
        kept: share of the changed voxels that show the deformed tissue, in [0, 1].
        undone: share that shows the tissue from before the deformation, in [0, 1].
        right_undeformed: share of the same voxels that the map of the undeformed scan has right:
            what can be expected there.
        ventricle_ml_before: CSF in and within 8 mm around the ventricles, without the deformation.
        ventricle_ml_after: with it.
        volume_kept: share of the true change of that volume; nan where it is below 3 mL.
    """

    brain: int
    deformation: str
    tissue_map: str
    kept: float
    undone: float
    right_undeformed: float
    ventricle_ml_before: float
    ventricle_ml_after: float
    volume_kept: float


@dataclass(frozen=True)
class ShapeScored:
    """What one score shows of one deformation.

    Attributes:
        brain: seed of the drawn brain.
        deformation: name.
        score: `method` is the paper's (edges, learned contrast, hybrid score of both signs),
            `as used` what `detect` gives with these weights.
        average_precision: of the score for the changed voxels, in [0, 1], higher is better.
        undeformed: the same with the score of the undeformed scan: what a boundary scores anyway.
        chance: share of the brain that changed.
        mean_changed: mean score of the changed voxels, in [0, 1].
        mean_undeformed: mean score of the same voxels in the undeformed scan.
        above_threshold: share of the changed voxels above the weights' threshold; nan for the
            method, which has none.
    """

    brain: int
    deformation: str
    score: str
    average_precision: float
    undeformed: float
    chance: float
    mean_changed: float
    mean_undeformed: float
    above_threshold: float


@dataclass(frozen=True)
class Deformation:
    """Figures of the experiment, and panels of the first brain."""

    shapes: tuple[ShapeKept, ...]
    scores: tuple[ShapeScored, ...]
    panels: tuple[Panel, ...]


class _Seen(NamedTuple):
    """One scan: its brain and image, tissue maps by name, anomaly maps by score, threshold."""

    brain: DrawnBrain
    image: FloatArray
    maps: dict[str, NDArray[np.uint8]]
    scores: dict[str, FloatArray]
    threshold: float


def run(detector: Detector, seed: int, count: int) -> Deformation:
    """Deform `count` drawn brains in each way, and look at them as T1w.

    Args:
        detector: on the CPU; its networks, and its way of scoring.
        seed: of the first brain.
        count: brains.
    """
    reading = learn_reading(detector.networks.model)
    shapes, scores, panels = list[ShapeKept](), list[ShapeScored](), list[Panel]()
    for number in range(seed, seed + count):
        before = _look(detector, reading, draw_brain(number), number)
        panels += _show("undeformed", before) if number == seed else []
        for name, deform in DEFORMATIONS.items():
            deformed = draw_brain(number, deform(before.brain))
            after = _look(detector, reading, deformed, number)
            shapes += _compare_shapes((number, name), before, after)
            scores += _compare_scores((number, name), before, after)
            panels += _show(name, after) if number == seed else []
    return Deformation(tuple(shapes), tuple(scores), tuple(panels))


def draw(result: Deformation, path: Path) -> None:
    """Draw scan, truth, restored tissue and both scores, one deformation a row."""
    kept = np.mean([row.kept for row in result.shapes if row.tissue_map == FROM_EDGES])
    heading = f"Deformation without lesion: {kept:.0%} of the changed voxels are kept by the edges"
    draw_panels(path, heading, result.panels, len(result.panels) // (1 + len(DEFORMATIONS)))


def _look(detector: Detector, reading: Tensor, brain: DrawnBrain, seed: int) -> _Seen:
    """Rebuild a brain by both routes, and score it by the method and as the weights are used."""
    image, mask = render(brain, means_of("T1w"), seed), brain.brain_mask
    model = detector.networks.model
    anatomy = extract_anatomy(model, as_tensor(image))
    codes = {route: restore_code(model, anatomy, route) for route in get_args(SingleRoute)}
    by_paper = score_prepared(detector.networks, PreparedImage(image, mask, "T1w"), PAPER)
    shipped = detector.detect(Volume(image * np.float32(SCANNER_UNITS), TEMPLATE_AFFINE.copy()))
    return _Seen(
        brain,
        image,
        {
            TRUTH: brain.tissue_map,
            EXTRACTED: class_indices(anatomy.tissue_map, mask),
            FROM_EDGES: decode_tissue(codes["edges"], reading, mask),
            FROM_MAP: decode_tissue(codes["tissue_map"], reading, mask),
        },
        {METHOD: by_paper.anomaly_map, SHIPPED: shipped.anomaly_map.data},
        shipped.threshold,
    )


def _compare_shapes(case: tuple[int, str], before: _Seen, after: _Seen) -> list[ShapeKept]:
    """One row a tissue map; `case` is seed and deformation."""
    truths = before.maps[TRUTH], after.maps[TRUTH]
    region = wall_distance(before.brain) < AROUND_MM
    true_change = csf_ml(truths[1], region) - csf_ml(truths[0], region)
    rows = []
    for name, tissue_map in after.maps.items():
        ml = csf_ml(before.maps[name], region), csf_ml(tissue_map, region)
        share = (ml[1] - ml[0]) / true_change if abs(true_change) >= LEAST_ML else float("nan")
        kept, undone = follow_change(tissue_map, *truths)
        right = follow_change(before.maps[name], *truths)[1]
        rows.append(ShapeKept(*case, name, kept, undone, right, *ml, share))
    return rows


def _compare_scores(case: tuple[int, str], before: _Seen, after: _Seen) -> list[ShapeScored]:
    """One row a score; `case` is seed and deformation."""
    changed = changed_voxels(before.maps[TRUTH], after.maps[TRUTH])
    brain = before.brain.brain_mask & after.brain.brain_mask
    rows = []
    for name, score in after.scores.items():
        flagged = float((score[changed] > after.threshold).mean())
        rows.append(
            ShapeScored(
                *case,
                name,
                average_precision=average_precision(score, changed, brain),
                undeformed=average_precision(before.scores[name], changed, brain),
                chance=float(changed.sum() / brain.sum()),
                mean_changed=float(score[changed].mean()),
                mean_undeformed=float(before.scores[name][changed].mean()),
                above_threshold=flagged if name == SHIPPED else float("nan"),
            )
        )
    return rows


def _show(name: str, seen: _Seen) -> list[Panel]:
    return [
        axial_panel(name, seen.image, "image"),
        axial_panel("true tissue", seen.maps[TRUTH], "tissue"),
        axial_panel("from edges", seen.maps[FROM_EDGES], "tissue"),
        axial_panel("score, method", seen.scores[METHOD], "score"),
        axial_panel("score, as used", seen.scores[SHIPPED], "score"),
    ]
