"""Validation: whole brains of held-out people with held-out lesion shapes, drawn once per seed.

Every choice (score, filter, threshold, checkpoint) is made here, never on the test cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.utils.data import DataLoader

from anatomaly.anomaly.healthy_residual import normalise_residual
from anatomaly.anomaly.hybrid_score import ResidualPolarity, resolve_polarity, signed_residual
from anatomaly.anomaly.postprocess import postprocess
from anatomaly.anomaly.ssim import ssim_map
from anatomaly.engine import RebuiltScan, rebuild
from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.cohort import Subject
from anatomaly.training.loop import single_thread
from anatomaly.training.synthesis.contrast import CONTRASTS
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesions import LesionShape
from anatomaly.types import BoolArray, FloatArray, Reuse, Route
from anatomaly.types import Sequence as SequenceName

VALIDATION_SEED = 990_001
LESION_SHARE = 0.3
"""Voxels with at least this share of lesion count as lesion."""


@dataclass(frozen=True)
class ValidationScan:
    """One prepared image with its truth.

    Attributes:
        sequence: T1w, T2w or FLAIR.
        image: (160, 192, 160) float32 in [0, 1], 0 outside the brain.
        brain_mask: bool, same grid.
        lesion: bool, same grid; empty for a healthy scan.
    """

    sequence: SequenceName
    image: FloatArray
    brain_mask: BoolArray
    lesion: BoolArray


def draw_validation(
    subjects: list[Subject],
    shapes: list[LesionShape],
    sequence: SequenceName,
    count: int,
    *,
    healthy: bool = False,
    seed: int = VALIDATION_SEED,
) -> Iterator[ValidationScan]:
    """Draw whole brains, one after the other, each from the next person.

    Args:
        subjects: held out from training.
        shapes: held out from training.
        sequence: of all scans.
        count: how many.
        healthy: without lesions.
        seed: of the draws.
    """
    shares = tuple(float(name == sequence) for name in CONTRASTS)
    config = GeneratorConfig(
        patch=TEMPLATE_SHAPE,
        seed=seed + CONTRASTS.index(sequence),
        sequence_shares=(shares[0], shares[1], shares[2], shares[3]),
        lesions=not healthy,
    )
    drawn = 0
    pairs = DataLoader(
        PairGenerator(subjects, shapes, config),
        batch_size=None,
        num_workers=1,
        worker_init_fn=single_thread,
    )
    for pair in pairs:
        if drawn == count:
            return
        lesion = pair["lesion"][0].numpy() >= LESION_SHARE
        if not healthy and lesion.sum() < 50:  # 0.05 mL: no lesion was drawn
            continue
        drawn += 1
        brain_mask = pair["brain"][0].numpy() > 0
        yield ValidationScan(sequence, pair["image"][0, 0].numpy(), brain_mask, lesion)


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
            np.savez_compressed(
                path,
                image=scan.image.astype(np.float16),
                brain_mask=scan.brain_mask,
                lesion=scan.lesion,
            )
    for path in paths:
        with np.load(path) as file:
            image = file["image"].astype(np.float32)
            yield ValidationScan(sequence, image, file["brain_mask"], file["lesion"])


@dataclass(frozen=True)
class ScoreVariant:
    """One way to turn a rebuilt scan into an anomaly map.

    Attributes:
        residual: multiply by the residual.
        structure: multiply by 1 − SSIM.
        polarity: of the residual; `auto` by sequence.
        normalised: by what healthy people have at that place.
        sigma_voxels: σ of the smoothing.
        erosion_voxels: rim that is not scored.
    """

    residual: bool = True
    structure: bool = True
    polarity: Literal["auto", "both"] = "auto"
    normalised: bool = False
    sigma_voxels: float = 1.0
    erosion_voxels: float = 3.0


VARIANTS: dict[str, ScoreVariant] = {
    "hybrid": ScoreVariant(),
    "both signs (paper)": ScoreVariant(polarity="both"),
    "residual": ScoreVariant(structure=False),
    "normalised": ScoreVariant(structure=False, normalised=True),
    "structure alone": ScoreVariant(residual=False),
}


def structural_difference(rebuilt: RebuiltScan) -> torch.Tensor:
    """1 − SSIM of a rebuilt scan, cut to [0, 1]; compute it once for all variants."""
    likeness = ssim_map(rebuilt.image, rebuilt.pseudo_healthy, data_range=1.0)
    return (1 - likeness).clamp(0, 1)


def score_scan(
    rebuilt: RebuiltScan,
    structure: torch.Tensor,
    scan: ValidationScan,
    variant: ScoreVariant,
    healthy: FloatArray | None = None,
) -> FloatArray:
    """Return the anomaly map (160, 192, 160) of one variant.

    `healthy`, what healthy people score at each place, is needed by normalised variants.
    """
    sign: ResidualPolarity = resolve_polarity(variant.polarity, scan.sequence)
    score = torch.ones_like(rebuilt.image)
    if variant.residual:
        score = score * signed_residual(rebuilt.image, rebuilt.pseudo_healthy, sign)
    if variant.structure:
        score = score * structure
    anomaly_map = postprocess(
        score[0, 0].cpu().numpy(),
        scan.brain_mask,
        sigma_voxels=variant.sigma_voxels,
        erosion_voxels=variant.erosion_voxels,
    )
    if not variant.normalised:
        return anomaly_map
    if healthy is None:
        raise TrainingError("a normalised score needs the residual of healthy people")
    return normalise_residual(anomaly_map, healthy)


def rebuild_scan(
    model: PseudoHealthyModel,
    scan: ValidationScan,
    route: Route = "edges",
    reuse: Reuse = "learned",
) -> RebuiltScan:
    """Run the networks on one validation scan, where the model lies."""
    device = next(model.parameters()).device
    return rebuild(model, scan.image, scan.brain_mask, device, route, reuse)


def healthy_threshold(
    anomaly_maps: Sequence[FloatArray],
    voxel_ml: float,
    *,
    half_ml: float = 1.0,
    most_ml: float = 5.0,
) -> float:
    """Return the lowest threshold that keeps false positives in healthy brains within a budget.

    Args:
        anomaly_maps: one map (any shape) for each healthy brain, 0 outside the scored brain.
        voxel_ml: volume of a voxel.
        half_ml: false positives allowed in half of the brains, mL.
        most_ml: false positives allowed in 95 % of them.
    """
    at_half = [_value_at_volume(m, half_ml / voxel_ml) for m in anomaly_maps]
    at_most = [_value_at_volume(m, most_ml / voxel_ml) for m in anomaly_maps]
    return float(max(np.quantile(at_half, 0.5), np.quantile(at_most, 0.95)))


def _value_at_volume(anomaly_map: FloatArray, voxels: float) -> float:
    """Score that this many voxels exceed."""
    values = np.sort(anomaly_map[anomaly_map > 0].ravel())
    position = len(values) - 1 - int(voxels)
    return float(values[position]) if position >= 0 else 0.0
