"""Draws whole brains with their healthy truth and measures on them, for `ablations.py`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from environment import data_folder
from torch import Tensor, nn

from anatomaly.anomaly.score import anomaly_map, raw_score
from anatomaly.evaluation.ablation import copied_share, show_lesion, tissue_share
from anatomaly.evaluation.experiments.tissue_agreement import (
    class_indices,
    decode_tissue,
    learn_reading,
    tissue_dice,
)
from anatomaly.evaluation.metrics import average_precision
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.method import usual_method
from anatomaly.model.anatomy_extractor import Anatomy, tissue_means
from anatomaly.model.intensity_agreement import fit_intensities
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.networks import as_tensor, running
from anatomaly.training.cohort import load_cohort
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesion_shapes import load_shapes
from anatomaly.training.validation import (
    LESION_SHARE,
    SMALLEST_LESION,
    VALIDATION_KINDS,
    VALIDATION_SEED,
)
from anatomaly.types import SEQUENCES, BoolArray, FloatArray, MrSequence

Figures = dict[str, float]


class Drawn(NamedTuple):
    """Two scans of one brain in different sequences, with the healthy truth; arrays (I, J, K)."""

    sequences: tuple[MrSequence, MrSequence]
    images: tuple[FloatArray, FloatArray]
    healthy: tuple[FloatArray, FloatArray]
    tissue: Any
    brain_mask: BoolArray
    lesion: BoolArray


def drawn_pairs(cache_folder: Path, count: int) -> Iterator[Drawn]:
    """Draw whole brains of held-out people, a person each, kinds of lesion in turn."""
    shapes = load_shapes(data_folder() / "lesion_masks_mni", cache_folder, held_out=True)
    config = GeneratorConfig(
        patch=TEMPLATE_SHAPE,
        seed=VALIDATION_SEED,
        sequence_shares=(1 / 3, 1 / 3, 1 / 3, 0.0),
        kinds=VALIDATION_KINDS,
    )
    for number, person in enumerate(load_cohort(cache_folder / "validation")[:count]):
        pairs, index = PairGenerator([person], shapes, config), number
        while (drawn := read_pair(pairs[index])) is None:
            index += count * len(VALIDATION_KINDS)  # the same kind again
        yield drawn


def read_pair(pair: Any) -> Drawn | None:
    """Take what is measured from a pair; None if it has no lesion or shows one sequence twice."""
    first, second = (SEQUENCES[int(n)] for n in pair["sequence"])
    lesion = pair["lesion"][0].numpy() >= LESION_SHARE
    if first == second or lesion.sum() < SMALLEST_LESION:
        return None
    images, healthy = (tuple(v[:, 0].numpy()) for v in (pair["image"], pair["healthy"]))
    tissue = pair["tissue"].numpy().astype(np.uint8)
    return Drawn((first, second), images, healthy, tissue, pair["brain"][0].numpy() > 0, lesion)


def find_anatomy(model: PseudoHealthyModel, image: Tensor) -> tuple[Anatomy, Tensor]:
    """Anatomy of a whole image (1, 1, I, J, K), and the context of the grid."""
    context = model.context(size=TEMPLATE_SHAPE)
    with running():
        means = tissue_means(image, context)
        return model.anatomy_extractor(image, context, means), context


def residual_precision(drawn: Drawn, member: int, pseudo_healthy: Tensor) -> float:
    """AP of the residual of one scan."""
    method = usual_method("residual")
    image = as_tensor(drawn.images[member])
    raw = raw_score(image, pseudo_healthy, drawn.sequences[member], method)
    score = anomaly_map(raw, drawn.brain_mask, method)
    return average_precision(score, drawn.lesion, drawn.brain_mask)


reading_of = cache(learn_reading)
"""How tissue is read from the code of a model, found out once."""


def measure_corruption(model: PseudoHealthyModel, drawn: Drawn, _: bool) -> Figures:
    """What comes back inside lesions from edges alone."""
    image, mask = as_tensor(drawn.images[0]), as_tensor(drawn.brain_mask)
    anatomy, context = find_anatomy(model, image)
    shown = torch.from_numpy(show_lesion(drawn.tissue, drawn.lesion)).long()
    shown_map = nn.functional.one_hot(shown, 4).permute(3, 0, 1, 2)[None].float()
    with running():
        code, fooled = (
            model.anatomy_encoder(model.anatomy_restorer(model.find_edges(m), context), context)
            for m in (anatomy.tissue_map, shown_map)
        )
    fitted = fit_intensities(image, torch.zeros_like(image), code.float(), mask)
    found, found_fooled = (
        decode_tissue(c, reading_of(model), drawn.brain_mask) for c in (code, fooled)
    )
    inside, outside = drawn.lesion & drawn.brain_mask, drawn.brain_mask & ~drawn.lesion
    return {
        "healthy tissue inside lesions": tissue_share(found, drawn.tissue, inside),
        "the same, lesions shown whole": tissue_share(found_fooled, drawn.tissue, inside),
        "healthy tissue outside lesions": tissue_share(found, drawn.tissue, outside),
        "AP of the residual, edge route": residual_precision(drawn, 0, fitted),
    }


def measure_consistency(model: PseudoHealthyModel, drawn: Drawn, _: bool) -> Figures:
    """Whether two scans of one brain give one tissue map."""
    first, second = (
        class_indices(find_anatomy(model, as_tensor(image))[0].tissue_map, drawn.brain_mask)
        for image in drawn.images
    )
    truth, inside = drawn.tissue, drawn.lesion & drawn.brain_mask
    return {
        "Dice between the two sequences": tissue_dice(first, second).mean,
        "Dice with the truth": float(
            np.mean([tissue_dice(m, truth).mean for m in (first, second)])
        ),
        "agreement inside lesions": tissue_share(first, second, inside),
    }


def measure_one_hot(model: PseudoHealthyModel, drawn: Drawn, one_hot: bool) -> Figures:
    """How much of a scan's intensities passes through the anatomical code (route without edges)."""
    codes, found = [], []
    inside, outside = drawn.lesion & drawn.brain_mask, drawn.brain_mask & ~drawn.lesion
    for member in (0, 1):
        image = as_tensor(drawn.images[member])
        anatomy, context = find_anatomy(model, image)
        with running():
            tissue = anatomy.tissue_map if one_hot else anatomy.shares
            code = model.anatomy_encoder(tissue, context).float()
            modality = model.modality_extractor(image, anatomy.tissue_map)
            phi = model.representation_combiner(code, modality) * as_tensor(drawn.brain_mask)
        codes.append(code[0][:, torch.from_numpy(drawn.brain_mask)])
        three = phi[0, 0].numpy(), drawn.images[member], drawn.healthy[member]
        found.append(
            {
                "share of lesions copied": copied_share(*three, inside),
                "share of noise and bias copied": copied_share(*three, outside, centred=True),
                "AP of the residual, tissue route": residual_precision(drawn, member, phi),
            }
        )
    means = {name: float(np.mean([f[name] for f in found])) for name in found[0]}
    change = float((codes[0] - codes[1]).abs().sum(0).mean()) / 2
    return means | {"code that differs between sequences": change}
