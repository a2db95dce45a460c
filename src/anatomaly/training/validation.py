"""Validation: whole brains of held-out people with held-out lesion shapes, drawn once per seed.

Every choice (score, filter, threshold, checkpoint) is made here, never on the test cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch.utils.data import DataLoader

from anatomaly.anomaly.score import anomaly_map, raw_score
from anatomaly.config import MOST_HEALTHY_ML, USUAL_HEALTHY_ML, AnomalyConfig
from anatomaly.engine import (
    GAP_SLOPE,
    ROUTES_OF,
    LesionLogit,
    RebuiltScan,
    assemble,
    lesion_logit,
    run_networks,
)
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.cohort import Subject
from anatomaly.training.held_out import single_thread
from anatomaly.training.synthesis.contrast import CONTRASTS
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesion_shapes import LesionShape
from anatomaly.types import BoolArray, FloatArray, Reuse, Route
from anatomaly.types import Sequence as SequenceName
from anatomaly.weights import WeightsCard, load_scorer, probability_of
from anatomaly.whole_file import whole_file

VALIDATION_SEED = 990_101
LESION_SHARE = 0.3
"""Voxels with at least this share of lesion count as lesion."""
SMALLEST_LESION = 50
"""Voxels (.05 mL): where fewer count, no lesion was drawn."""


@dataclass(frozen=True)
class ValidationScan:
    """One prepared image with its truth.

    Attributes:
        sequence: T1w, T2w or FLAIR.
        image: (160, 192, 160) float32 in [0, 1], 0 outside the brain.
        brain_mask: bool, same grid.
        lesion: bool, same grid; empty for a healthy scan.
        kind: of the lesion, a word of `VALIDATION_KINDS`; empty for a healthy scan.
    """

    sequence: SequenceName
    image: FloatArray
    brain_mask: BoolArray
    lesion: BoolArray
    kind: str = ""


VALIDATION_KINDS = (
    "stroke", "ms", "tumour", "haemorrhage", "spots", "periventricular", "hole",
)  # fmt: skip
"""Kinds of lesion, in turn: validation is balanced over them."""
HEALTHY: tuple[str, ...] = ()
"""In their place: scans without a lesion."""


def draw_validation(
    subjects: list[Subject],
    shapes: list[LesionShape],
    sequence: SequenceName,
    count: int,
    *,
    seed: int = VALIDATION_SEED,
    kinds: tuple[str, ...] = VALIDATION_KINDS,
) -> Iterator[ValidationScan]:
    """Draw whole brains, one after the other, each of a random person.

    Healthy ones keep the person's own anatomy and texture: bent brains look less healthy than
    people are, and a threshold from them is too strict.

    Args:
        subjects: for validation, held out from training.
        shapes: for validation, held out from training.
        sequence: of all scans.
        count: how many.
        seed: of the draws.
        kinds: of lesion, in turn, as of `synthesis.lesions.draw_lesion`; `HEALTHY` for none.
    """
    healthy = not kinds
    shares = tuple(float(name == sequence) for name in CONTRASTS)
    config = GeneratorConfig(
        patch=TEMPLATE_SHAPE,
        seed=seed + CONTRASTS.index(sequence),
        sequence_shares=(shares[0], shares[1], shares[2], shares[3]),
        lesions=not healthy,
        deform=not healthy,
        real_share=1.0 if healthy else GeneratorConfig.real_share,
        kinds=kinds,
    )
    drawn = 0
    pairs = DataLoader(
        PairGenerator(subjects, shapes, config),
        batch_size=None,
        num_workers=1,
        prefetch_factor=1,
        worker_init_fn=single_thread,
    )
    for index, pair in enumerate(pairs):
        lesion = pair["lesion"][0].numpy() >= LESION_SHARE
        if not healthy and lesion.sum() < SMALLEST_LESION:
            continue
        drawn += 1
        brain_mask = pair["brain"][0].numpy() > 0
        kind = "" if healthy else kinds[index % len(kinds)]
        yield ValidationScan(sequence, pair["image"][0, 0].numpy(), brain_mask, lesion, kind)
        if drawn == count:
            return


def cached_validation(
    folder: Path, draw: Iterator[ValidationScan], sequence: SequenceName, count: int, kind: str
) -> Iterator[ValidationScan]:
    """Yield drawn scans, from disk where they were drawn before.

    Args:
        folder: of the cache.
        draw: of `draw_validation`; consumed only if a scan is missing.
        sequence: of all scans.
        count: how many.
        kind: names the files, for example healthy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{sequence}_{kind}_{n:02d}.npz" for n in range(count)]
    if not all(path.is_file() for path in paths):
        for path, scan in zip(paths, draw, strict=True):
            with whole_file(path) as temporary, temporary.open("wb") as stream:
                np.savez_compressed(
                    stream,
                    image=scan.image.astype(np.float16),
                    brain_mask=scan.brain_mask,
                    lesion=scan.lesion,
                    kind=scan.kind,
                )
    for path in paths:
        with np.load(path) as file:
            image = file["image"].astype(np.float32)
            yield ValidationScan(
                sequence, image, file["brain_mask"], file["lesion"], str(file["kind"])
            )


Refine: TypeAlias = Callable[[RebuiltScan, SequenceName], LesionLogit]
"""`engine.lesion_logit` with its networks filled in."""


def load_refine(model: PseudoHealthyModel, card: WeightsCard, name_or_folder: str) -> Refine:
    """Load the refined score of weights, for `score_scan`.

    Raises:
        WeightsError: they bring none.
    """
    device = next(model.parameters()).device
    scorer = load_scorer(card, name_or_folder).to(device)

    def refine(rebuilt: RebuiltScan, sequence: SequenceName) -> LesionLogit:
        calibration = probability_of(card, sequence)
        return lesion_logit(scorer, model.context, rebuilt, sequence, calibration)

    return refine


def score_scan(
    scan: ValidationScan,
    rebuilt: RebuiltScan,
    config: AnomalyConfig,
    healthy: FloatArray | None = None,
    refine: Refine | None = None,
    slope: float = GAP_SLOPE,
) -> FloatArray:
    """Return the anomaly map (160, 192, 160).

    Args:
        scan: of which.
        rebuilt: of `rebuild_scan`.
        config: polarity, score, smoothing, rim.
        healthy: what healthy people score, for the `normalised` score.
        refine: for the `refined` score.
        slope: weight of the residual in it.

    Raises:
        ValueError: the score needs what was not given.
    """
    if config.score == "refined":
        if refine is None:
            raise ValueError("the refined score needs its network")
        raw = refine(rebuilt, scan.sequence).probability(slope)
    else:
        raw = raw_score(rebuilt.image, rebuilt.pseudo_healthy, scan.sequence, config)
    return anomaly_map(raw, scan.brain_mask, config, healthy)


def rebuild_scan(
    model: PseudoHealthyModel, scan: ValidationScan, wanted: Sequence[tuple[Route, Reuse]]
) -> list[RebuiltScan]:
    """Rebuild one validation scan where the model lies; the networks run once.

    Returns:
        One for each route and reuse that is wanted.
    """
    device = next(model.parameters()).device
    image = torch.from_numpy(scan.image)[None, None].to(device)
    mask = torch.from_numpy(scan.brain_mask).float()[None, None].to(device)
    routes = sorted({single for route, _ in wanted for single in ROUTES_OF[route]})
    combine = any(reuse != "fitted" for _, reuse in wanted)
    rebuilt = dict(zip(routes, run_networks(model, image, mask, routes, combine), strict=True))
    return [
        assemble(image, mask, [rebuilt[single] for single in ROUTES_OF[route]], reuse)
        for route, reuse in wanted
    ]


def healthy_threshold(
    anomaly_maps: Sequence[FloatArray],
    voxel_ml: float,
    *,
    half_ml: float = USUAL_HEALTHY_ML,
    most_ml: float = MOST_HEALTHY_ML,
) -> float:
    """Return the lowest threshold that keeps false positives in healthy brains within a budget.

    Args:
        anomaly_maps: one map (any shape) for each healthy brain, 0 outside the scored brain.
        voxel_ml: volume of a voxel.
        half_ml: false positives allowed in half of the brains, mL.
        most_ml: false positives allowed in 95 % of them.
    """
    return join_thresholds(
        [value_at_volume(m, half_ml / voxel_ml) for m in anomaly_maps],
        [value_at_volume(m, most_ml / voxel_ml) for m in anomaly_maps],
    )


def join_thresholds(at_half: Sequence[float], at_most: Sequence[float]) -> float:
    """Return the threshold of healthy brains from what each of them asks for.

    Args:
        at_half: of each brain, the score above which lies the volume allowed in half of them.
        at_most: the same for the volume allowed in 95 %.
    """
    return float(max(np.quantile(at_half, 0.5), np.quantile(at_most, 0.95)))


def value_at_volume(anomaly_map: FloatArray, voxels: float) -> float:
    """Return the score that this many voxels exceed, 0 where fewer are above 0."""
    values = np.sort(anomaly_map[anomaly_map > 0].ravel())
    position = len(values) - 1 - int(voxels)
    return float(values[position]) if position >= 0 else 0.0
