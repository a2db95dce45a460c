"""Lesion by lesion: how many are found, how much of what is found is one, and how large they are.

A lesion is a connected component of a mask (26 neighbours). The rule is the same both ways:

- a true lesion is **detected** where found voxels cover at least `min_overlap` of it;
- a found lesion is **correct** where true voxels make up at least `min_overlap` of it.

With `min_overlap = 0` one shared voxel is enough, as in the WMH challenge (Kuijf et al. 2019, doi
10.1109/TMI.2019.2905770). The default of a tenth is the detection share of the MICCAI 2016 MS
challenge (Commowick et al. 2018, doi 10.1038/s41598-018-31911-7), without its second and third
condition; it keeps a mask of the whole brain from being one correct lesion (unless a tenth of the
brain is lesion).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.errors import ConfigError
from anatomaly.evaluation.scored_voxels import check_masks
from anatomaly.types import BoolArray

MIN_OVERLAP = 0.1
SIZE_EDGES_MM3 = (0.0, 10.0, 100.0, 1_000.0, 10_000.0, math.inf)
"""Edges of the size bins; balls of 10, 100, 1,000 and 10,000 mm³ are 3, 6, 12 and 27 mm wide."""


class LesionMatch(NamedTuple):
    """The lesions of one scan.

    Attributes:
        true_mm3: volume of each true lesion.
        detected: whether it was found, same order.
        found_mm3: volume of each found lesion.
        correct: whether it is one, same order.
    """

    true_mm3: tuple[float, ...]
    detected: tuple[bool, ...]
    found_mm3: tuple[float, ...]
    correct: tuple[bool, ...]


class LesionFigures(NamedTuple):
    """Figures over the lesions of one or more scans.

    Attributes:
        lesions: true lesions.
        sensitivity: share of them detected, in [0, 1]; nan without one. Higher is better.
        precision: share of the found ones that are correct; nan where none was found.
        f1: harmonic mean of both, 0 where there are lesions and none is found; nan without one.
        false_positives: found ones that are not correct. Lower is better.
    """

    lesions: int
    sensitivity: float
    precision: float
    f1: float
    false_positives: int


class SizeBin(NamedTuple):
    """Lesions whose volume lies in [low_mm3, high_mm3), true and found ones each by their own."""

    low_mm3: float
    high_mm3: float
    figures: LesionFigures


def match_lesions(
    found: BoolArray,
    truth: BoolArray,
    voxel_volume_mm3: float,
    *,
    min_overlap: float = MIN_OVERLAP,
) -> LesionMatch:
    """Match found with true lesions by the rule of this module.

    Args:
        found: (I, J, K) bool, what passed the threshold; take out first what the label leaves
            open (label 2 of WMH 2017).
        truth: (I, J, K) bool.
        voxel_volume_mm3: volume of a voxel.
        min_overlap: share that has to overlap, in [0, 1]; 0 is one voxel.

    Raises:
        GeometryError: shapes differ.
        EvaluationError: a mask is not bool.
        ConfigError: min_overlap or the volume of a voxel is out of range.

    >>> truth = np.array([[[True, True, False, False, True, False, False]]])
    >>> found = np.array([[[True, False, False, False, False, False, True]]])
    >>> match_lesions(found, truth, 2.0)
    LesionMatch(true_mm3=(4.0, 2.0), detected=(True, False),
                found_mm3=(2.0, 2.0), correct=(True, False))
    """
    check_masks(found, truth)
    if not 0 <= min_overlap <= 1:
        raise ConfigError(f"min_overlap must lie in [0, 1], got {min_overlap}")
    if not 0 < voxel_volume_mm3 < math.inf:
        raise ConfigError(f"voxel_volume_mm3 must be above 0, got {voxel_volume_mm3}")
    true_voxels, detected = _covered(truth, found, min_overlap)
    found_voxels, correct = _covered(found, truth, min_overlap)
    return LesionMatch(
        tuple((true_voxels * voxel_volume_mm3).tolist()),
        tuple(detected.tolist()),
        tuple((found_voxels * voxel_volume_mm3).tolist()),
        tuple(correct.tolist()),
    )


def lesion_figures(matches: Iterable[LesionMatch]) -> LesionFigures:
    """Sensitivity, precision and F1 = 2 S P / (S + P) over the lesions of all scans given.

    For one scan give a list of one; for the mean over scans, the mean of these.

    >>> lesion_figures([LesionMatch((4.0, 2.0), (True, False), (2.0,), (True,))])
    LesionFigures(lesions=2, sensitivity=0.5, precision=1.0, f1=0.6666666666666666,
                  false_positives=0)
    """
    scans = list(matches)
    return _figures(
        [yes for scan in scans for yes in scan.detected],
        [yes for scan in scans for yes in scan.correct],
    )


def figures_by_size(
    matches: Iterable[LesionMatch], edges_mm3: Sequence[float] = SIZE_EDGES_MM3
) -> list[SizeBin]:
    """Give the figures of each size bin: sensitivity by true volume, precision by found volume.

    Args:
        matches: of all scans.
        edges_mm3: two or more, rising; a lesion smaller than the first or as large as the last is
            in no bin.

    Raises:
        ConfigError: edges do not rise.
    """
    if len(edges_mm3) < 2 or any(a >= b for a, b in itertools.pairwise(edges_mm3)):
        raise ConfigError(f"edges must be two or more and rise, got {list(edges_mm3)}")
    scans = list(matches)
    true = [pair for s in scans for pair in zip(s.true_mm3, s.detected, strict=True)]
    found = [pair for s in scans for pair in zip(s.found_mm3, s.correct, strict=True)]
    bins = []
    for low, high in itertools.pairwise(edges_mm3):
        piles = ([yes for mm3, yes in pile if low <= mm3 < high] for pile in (true, found))
        bins.append(SizeBin(low, high, _figures(*piles)))
    return bins


def _figures(detected: list[bool], correct: list[bool]) -> LesionFigures:
    """Figures of a pile of true and a pile of found lesions."""
    sensitivity = sum(detected) / len(detected) if detected else math.nan
    precision = sum(correct) / len(correct) if correct else math.nan
    if not detected:
        f1 = math.nan
    elif not sum(detected) or not sum(correct):
        f1 = 0.0
    else:
        f1 = 2 * sensitivity * precision / (sensitivity + precision)
    wrong = len(correct) - sum(correct)
    return LesionFigures(len(detected), sensitivity, precision, f1, wrong)


def _covered(
    mask: BoolArray, cover: BoolArray, min_overlap: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the voxels of each component of `mask` and whether enough of it is covered."""
    labels, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    voxels = np.bincount(labels[mask], minlength=count + 1)[1:]
    shared = np.bincount(labels[mask & cover], minlength=count + 1)[1:]
    enough: NDArray[np.bool_] = (shared >= 1) & (shared >= min_overlap * voxels)
    return voxels, enough
