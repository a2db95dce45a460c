"""Experiment 1: is the tissue map of one person the same whatever the sequence, and one-hot?

Source: the claim is that of Yang et al. 2026, doi:10.1016/j.media.2025.103922.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.errors import ScanError
from anatomaly.evaluation.experiments.drawn_brains import draw_brain, means_of, render
from anatomaly.evaluation.experiments.panels import Panel, axial_panel, draw_panels
from anatomaly.evaluation.experiments.tissue_agreement import (
    TissueDice,
    class_indices,
    mean_dice,
    tissue_dice,
)
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.networks import as_tensor
from anatomaly.preprocess.normalise import normalise_intensity
from anatomaly.preprocess.resample import resample_to_template
from anatomaly.preprocess.template import load_template
from anatomaly.scan.read import read_scan
from anatomaly.score import extract_anatomy
from anatomaly.types import SEQUENCES, BoolArray, FloatArray

PAIR_FOLDER = "templates"
PAIR_FILES = {"T1w": "MNI152_T1_1mm_brain.nii.gz", "T2w": "MNI152_T2_1mm_brain.nii.gz"}


class Anatomy(NamedTuple):
    """One anatomy seen in several sequences.

    Attributes:
        name: `drawn brain` or `MNI152`.
        images: sequence to (I, J, K) in [0, 1], all on one grid.
        brain_mask: (I, J, K).
        truth: (I, J, K) of 0 to 3, None where nobody knows.
    """

    name: str
    images: Mapping[str, FloatArray]
    brain_mask: BoolArray
    truth: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Agreement:
    """Dice between two tissue maps of one anatomy, mean over anatomies.

    Attributes:
        anatomy: what was looked at.
        compared: two sequences, or a sequence and the truth.
        csf: Dice in [0, 1], higher is better.
        grey: the same.
        white: the same.
        mean: of the three.
        anatomies: how many.
    """

    anatomy: str
    compared: str
    csf: float
    grey: float
    white: float
    mean: float
    anatomies: int


@dataclass(frozen=True)
class Disentanglement:
    """Figures of the experiment.

    Attributes:
        rows: agreement between sequences, and with the truth.
        not_one_hot: voxels of all maps whose four channels are not one 1 and three 0.
        panels: rows of scans and of tissue maps of the first anatomy of each name.
    """

    rows: tuple[Agreement, ...]
    not_one_hot: int
    panels: tuple[tuple[Panel, ...], ...]


def run(
    model: PseudoHealthyModel, seed: int, count: int, data: Path | None = None
) -> Disentanglement:
    """Extract tissue maps of `count` drawn brains in every sequence, and of the MNI152 pair.

    Args:
        model: in evaluation mode.
        seed: of the first brain.
        count: drawn brains.
        data: folder that holds the MNI152 T1 and T2 templates in `templates/`; None goes without.
    """
    overlap: dict[tuple[str, str], list[TissueDice]] = {}
    wrong, panels = 0, dict[str, list[tuple[Panel, ...]]]()
    for anatomy in _anatomies(seed, count, data):
        one_hot = {
            n: extract_anatomy(model, as_tensor(i)).tissue_map for n, i in anatomy.images.items()
        }
        wrong += sum(count_not_one_hot(tissue_map) for tissue_map in one_hot.values())
        maps = {n: class_indices(t, anatomy.brain_mask) for n, t in one_hot.items()}
        panels.setdefault(anatomy.name, _show(anatomy, maps))
        for pair, agreement in compare_maps(maps, anatomy.truth).items():
            overlap.setdefault((anatomy.name, pair), []).append(agreement)
    rows = tuple(Agreement(*key, *mean_dice(maps), len(maps)) for key, maps in overlap.items())
    return Disentanglement(rows, wrong, tuple(row for rows_ in panels.values() for row in rows_))


def draw(result: Disentanglement, path: Path) -> None:
    """Draw scans above their tissue maps."""
    between: dict[str, list[float]] = {}
    for row in result.rows:
        if "truth" not in row.compared:
            between.setdefault(row.anatomy, []).append(row.mean)
    heading = "Dice between sequences: "
    heading += ", ".join(f"{name} {np.mean(values):.2f}" for name, values in between.items())
    columns = max(len(row) for row in result.panels)
    padded = [(*row, *[None] * (columns - len(row))) for row in result.panels]
    draw_panels(path, heading, [panel for row in padded for panel in row], columns)


def count_not_one_hot(tissue_map: Tensor) -> int:
    """Count voxels of (1, 4, I, J, K) that do not hold exactly one 1 and otherwise 0."""
    ones, zeros = (tissue_map == 1).sum(1), (tissue_map == 0).sum(1)
    return int(((ones != 1) | (zeros != tissue_map.shape[1] - 1)).sum())


def compare_maps(
    maps: Mapping[str, NDArray[np.uint8]], truth: NDArray[np.uint8] | None
) -> dict[str, TissueDice]:
    """Compare every two maps (I, J, K), and each with the truth where that is known."""
    overlap = {
        f"{a}–{b}": tissue_dice(maps[a], maps[b]) for a, b in itertools.combinations(maps, 2)
    }
    if truth is not None:
        overlap |= {f"{name}–truth": tissue_dice(one, truth) for name, one in maps.items()}
    return overlap


def _show(anatomy: Anatomy, maps: Mapping[str, NDArray[np.uint8]]) -> list[tuple[Panel, ...]]:
    """A row of scans and a row of tissue maps."""
    scans = anatomy.images.items()
    return [
        tuple(axial_panel(f"{anatomy.name}, {name}", scan, "image") for name, scan in scans),
        tuple(axial_panel(f"tissue from {name}", one, "tissue") for name, one in maps.items()),
    ]


def _anatomies(seed: int, count: int, data: Path | None) -> Iterator[Anatomy]:
    """Draw the brains one after the other, then read the MNI152 pair."""
    for number in range(seed, seed + count):
        brain, rng = draw_brain(number), np.random.default_rng([number, 17])
        images: dict[str, FloatArray] = {
            sequence: render(brain, means_of(sequence, rng), 10 * number + index)
            for index, sequence in enumerate(SEQUENCES)
        }
        yield Anatomy("drawn brain", images, brain.brain_mask, brain.tissue_map)
    if data is not None:
        yield read_pair(data / PAIR_FOLDER)


def read_pair(folder: Path) -> Anatomy:
    """Read the MNI152 T1 and T2 templates (1 mm, 0 outside the brain) onto the working grid.

    Raises:
        ScanError: a file is missing.
    """
    for name in PAIR_FILES.values():
        if not (folder / name).is_file():
            raise ScanError(f"{folder}: no {name}; leave the data folder out, or put FSL's there")
    volumes = {
        sequence: resample_to_template(read_scan(folder / name).volume, np.eye(4))
        for sequence, name in PAIR_FILES.items()
    }
    inside = np.logical_and.reduce([volume.data > 0 for volume in volumes.values()])
    inside &= load_template().brain_mask.data  # FSL's brain reaches into the meninges
    mask = volumes["T1w"].with_data(inside)
    images = {name: normalise_intensity(one, mask)[0].data for name, one in volumes.items()}
    return Anatomy("MNI152", images, inside, None)
