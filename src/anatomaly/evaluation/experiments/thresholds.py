"""Experiment 5: what do the constants .29, .48 and .72 mean, and do they need fitting?

Readings of the constants: (a) class centres, the nearest wins; (b) cuts between four bins; and
centres fitted to each scan. Each turns the extractor's anatomical image into a tissue map. Our
extractor was trained with (a): its anatomical image is a sharpened expectation over these very
centres and ends at .72, so (b) is judged on its home ground in a T1w scan itself, which was never
made to fit either reading.

Source of the constants: Yang et al. 2026, doi:10.1016/j.media.2025.103922; of the fit: k-means in
one dimension, Lloyd 1982, doi:10.1109/TIT.1982.1056489.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anatomaly.evaluation.experiments.drawn_brains import DrawnBrain, draw_brain, means_of, render
from anatomaly.evaluation.experiments.panels import draw_bars, new_figure, save
from anatomaly.evaluation.experiments.tissue_agreement import (
    TissueDice,
    class_indices,
    mean_dice,
    tissue_dice,
)
from anatomaly.model.one_hot import CUTS, LEVELS, one_hot_cuts, one_hot_levels
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.networks import as_tensor
from anatomaly.score import extract_anatomy
from anatomaly.types import SEQUENCES, BoolArray, FloatArray

LEVELS_READING, CUTS_READING, FITTED = "centres (a)", "cuts (b)", "fitted centres"
READINGS = (LEVELS_READING, CUTS_READING, FITTED)
ROUNDS = 30


@dataclass(frozen=True)
class Reading:
    """Dice of one reading against the truth, mean over brains; in [0, 1], higher is better.

    Attributes:
        image: what was cut: the anatomical image of a sequence, or a T1w scan itself.
        reading: of the constants.
        csf: Dice.
        grey: Dice.
        white: Dice.
        mean: of the three.
        centres: used for CSF, grey and white matter, of the last brain (cuts for reading b).
    """

    image: str
    reading: str
    csf: float
    grey: float
    white: float
    mean: float
    centres: str


@dataclass(frozen=True)
class Thresholds:
    """Figures of the experiment, one row for each image and reading."""

    rows: tuple[Reading, ...]


def run(model: PseudoHealthyModel, seed: int, count: int) -> Thresholds:
    """Cut anatomical images of `count` drawn brains in every sequence by each reading.

    Args:
        model: in evaluation mode.
        seed: of the first brain.
        count: brains.
    """
    agreement: dict[tuple[str, str], list[tuple[TissueDice, str]]] = {}
    for number in range(seed, seed + count):
        brain, rng = draw_brain(number), np.random.default_rng([number, 29])
        for index, sequence in enumerate(SEQUENCES):
            image = render(brain, means_of(sequence, rng), 10 * number + index)
            anatomical_image = extract_anatomy(model, as_tensor(image)).anatomical_image
            sources: dict[str, FloatArray] = {sequence: anatomical_image[0, 0].float().numpy()}
            if sequence == "T1w":
                sources["T1w scan itself"] = image
            for name, source in sources.items():
                for reading, result in read_all(source, brain).items():
                    agreement.setdefault((name, reading), []).append(result)
    rows = (
        Reading(*key, *mean_dice(dice for dice, _ in results), results[-1][1])
        for key, results in agreement.items()
    )
    return Thresholds(tuple(rows))


def draw(result: Thresholds, path: Path) -> None:
    """Draw mean Dice by image and reading."""
    figure = new_figure(8.4, 3.4, "Readings of .29, .48 and .72: Dice of the tissue map")
    images = list(dict.fromkeys(row.image for row in result.rows))
    series = {
        reading: [row.mean for row in result.rows if row.reading == reading] for reading in READINGS
    }
    draw_bars(figure.subplots(), images, series, "mean Dice of three tissues")
    save(figure, path)


def read_all(image: FloatArray, brain: DrawnBrain) -> dict[str, tuple[TissueDice, str]]:
    """Cut one image (I, J, K) by every reading; Dice against the truth and the numbers used."""
    tensor, mask = as_tensor(image), brain.brain_mask
    fitted = fit_centres(image, mask)
    maps = {
        LEVELS_READING: (one_hot_levels(tensor), LEVELS[1:]),
        CUTS_READING: (one_hot_cuts(tensor), CUTS),
        FITTED: (one_hot_levels(tensor, (LEVELS[0], *fitted)), fitted),
    }
    return {
        name: (
            tissue_dice(class_indices(one_hot, mask), brain.tissue_map),
            " ".join(f"{number:.2f}" for number in numbers),
        )
        for name, (one_hot, numbers) in maps.items()
    }


def fit_centres(image: FloatArray, brain_mask: BoolArray) -> tuple[float, float, float]:
    """Fit the centres of CSF, grey and white matter to one image; background stays at 0.

    The constants are the start, scaled so that white matter starts at the 95th percentile.

    Args:
        image: (I, J, K) in [0, 1], T1-like: CSF darkest, white matter brightest.
        brain_mask: (I, J, K); voxels outside have no say.

    Returns:
        Three increasing centres; that of a tissue without voxels stays where it started.
    """
    values = image[brain_mask]
    scale = float(np.percentile(values, 95)) / LEVELS[3]
    centres: NDArray[np.float64] = np.array(LEVELS, dtype=np.float64) * scale
    for _ in range(ROUNDS):
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
        counts = np.bincount(nearest, minlength=4)
        sums = np.bincount(nearest, weights=values, minlength=4)
        moved = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
        moved[0] = centres[0]
        if np.allclose(moved, centres, atol=1e-5):
            break
        centres = moved
    csf, grey, white = centres[1:].tolist()
    return csf, grey, white
