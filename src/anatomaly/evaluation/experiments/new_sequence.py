"""Experiment 6: do frozen networks take a sequence that training never named?

Training draws T1w-, T2w- and FLAIR-like contrasts, and random ones whose tissues differ by .12 or
more. Neither contrast here has a name there, and the grey matter and CSF of the first lie closer
than that. Contrast is put back by the combiner, or fitted to the scan in closed form.

Source: the question is the third open one of Yang et al. 2026, doi:10.1016/j.media.2025.103922.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from anatomaly.evaluation.experiments.drawn_brains import (
    DrawnBrain,
    Means,
    draw_brain,
    means_of,
    render,
)
from anatomaly.evaluation.experiments.panels import Panel, axial_panel, draw_panels
from anatomaly.evaluation.experiments.tissue_agreement import (
    class_indices,
    decode_tissue,
    learn_reading,
    tissue_dice,
)
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.networks import as_tensor
from anatomaly.score import (
    decode_image,
    extract_anatomy,
    extract_modality,
    put_contrast_back,
    restore_code,
)
from anatomaly.types import SEQUENCES, BoolArray, FloatArray

NEW: dict[str, Means] = {
    "PD-like": Means(csf=0.88, grey=0.80, white=0.62),
    "double-inversion-like": Means(csf=0.05, grey=0.90, white=0.20),
}
"""Signal of contrasts without a name in training: proton density, and CSF and white matter nulled
by two inversions."""


@dataclass(frozen=True)
class Contrast:
    """One contrast, mean over brains.

    Attributes:
        contrast: name; those of `NEW` were never named in training.
        map_csf: Dice of the extractor's map against the truth, in [0, 1], higher is better.
        map_grey: the same.
        map_white: the same.
        edges_mean: of the tissue restored from edges against the truth, mean of three tissues.
        error_learned: mean absolute difference of scan and rebuilt image inside the brain, contrast
            by the combiner; intensities in [0, 1], lower is better.
        error_fitted: the same, contrast fitted to the scan in closed form.
    """

    contrast: str
    map_csf: float
    map_grey: float
    map_white: float
    edges_mean: float
    error_learned: float
    error_fitted: float


@dataclass(frozen=True)
class NewSequence:
    """Figures of the experiment, and panels of the first brain."""

    rows: tuple[Contrast, ...]
    panels: tuple[Panel, ...]


def run(model: PseudoHealthyModel, seed: int, count: int) -> NewSequence:
    """Rebuild `count` drawn brains in the three sequences and in the new ones.

    Args:
        model: in evaluation mode.
        seed: of the first brain.
        count: brains.
    """
    reading = learn_reading(model)
    means = {sequence: means_of(sequence) for sequence in SEQUENCES} | NEW
    by_source: dict[str, list[tuple[float, ...]]] = {name: [] for name in means}
    panels = list[Panel]()
    for number in range(seed, seed + count):
        brain = draw_brain(number)
        for index, (name, tissue_means) in enumerate(means.items()):
            image = render(brain, tissue_means, 10 * number + index)
            figures, shown = _measure(model, reading, brain, image, name)
            by_source[name].append(figures)
            panels += shown if number == seed else []
    rows = tuple(
        Contrast(name, *np.mean(all_, axis=0).tolist()) for name, all_ in by_source.items()
    )
    return NewSequence(rows, tuple(panels))


def draw(result: NewSequence, path: Path) -> None:
    """Draw scan, tissue map, and the image rebuilt with both contrasts, one contrast a row."""
    draw_panels(path, "Frozen networks on named and on new contrasts", result.panels, 4)


def mean_error(image: FloatArray, rebuilt: FloatArray, brain_mask: BoolArray) -> float:
    """Mean absolute difference inside the brain; all (I, J, K)."""
    return float(np.abs(image - rebuilt)[brain_mask].mean())


def _measure(
    model: PseudoHealthyModel, reading: Tensor, brain: DrawnBrain, image: FloatArray, name: str
) -> tuple[tuple[float, ...], list[Panel]]:
    """Return the figures of one scan in the order of `Contrast`, and its panels."""
    inside, truth, x, mask = (
        brain.brain_mask,
        brain.tissue_map,
        as_tensor(image),
        as_tensor(brain.brain_mask),
    )
    anatomy = extract_anatomy(model, x)
    code = restore_code(model, anatomy, "edges")
    own = class_indices(anatomy.tissue_map, inside)
    tissue = decode_tissue(code, reading, inside)
    learned = decode_image(model, code, extract_modality(model, x, anatomy), mask)[0, 0].numpy()
    fitted = put_contrast_back(x, code, None, mask, "fitted")[0, 0].numpy()
    dice = tissue_dice(own, truth)
    figures = (
        dice.csf,
        dice.grey,
        dice.white,
        tissue_dice(tissue, truth).mean,
        mean_error(image, learned, inside),
        mean_error(image, fitted, inside),
    )
    return figures, [
        axial_panel(name, image, "image"),
        axial_panel("tissue map", own, "tissue"),
        axial_panel("rebuilt, learned", learned, "image"),
        axial_panel("rebuilt, fitted", fitted, "image"),
    ]
