"""Tissue read from an anatomical code, and how well two tissue maps agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.evaluation.experiments.drawn_brains import draw_brain, means_of, render
from anatomaly.evaluation.metrics import dice
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.networks import as_tensor
from anatomaly.score import extract_anatomy, restore_code
from anatomaly.types import BoolArray

READING_SEED = 10_007
"""Of the brain that `learn_reading` looks at; no experiment measures on it."""

RIDGE = 1e-6
"""Weight of 'no channel says anything', relative to the number of voxels."""


@dataclass(frozen=True)
class TissueDice:
    """Dice of each tissue, in [0, 1], higher is better; nan where both maps lack it."""

    csf: float
    grey: float
    white: float

    @property
    def mean(self) -> float:
        """Mean of the three."""
        return (self.csf + self.grey + self.white) / 3


def class_indices(tissue_map: Tensor, brain_mask: BoolArray) -> NDArray[np.uint8]:
    """Turn a one-hot tissue map (1, 4, I, J, K) into classes (I, J, K), 0 outside the brain."""
    classes = tissue_map[0].argmax(0).to(torch.uint8).numpy()
    return np.where(brain_mask, classes, 0).astype(np.uint8)


def tissue_dice(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> TissueDice:
    """Compare two tissue maps (I, J, K) of 0 background, 1 CSF, 2 grey, 3 white matter.

    >>> tissue_dice(np.array([1, 1, 2, 3], np.uint8), np.array([1, 2, 2, 3], np.uint8)).white
    1.0
    """
    csf, grey, white = (dice(found == tissue, truth == tissue) for tissue in (1, 2, 3))
    return TissueDice(csf, grey, white)


def mean_dice(maps: Iterable[TissueDice]) -> tuple[float, float, float, float]:
    """Return the mean over maps of CSF, grey and white matter, and the mean of these three."""
    rows = [(one.csf, one.grey, one.white) for one in maps]
    means = TissueDice(*(float(np.mean(column)) for column in zip(*rows, strict=True)))
    return means.csf, means.grey, means.white, means.mean


def fit_reading(code: Tensor, tissue_map: Tensor, brain_mask: BoolArray) -> Tensor:
    """Fit how tissue is read from a code: linear least squares with a small ridge.

    Args:
        code: (1, C, I, J, K), shares summing to 1.
        tissue_map: (1, 4, I, J, K) one-hot, what the code was encoded from.
        brain_mask: (I, J, K); outside it codes mean nothing.

    Returns:
        (C, 3), weight of each channel for CSF, grey and white matter.
    """
    inside = torch.from_numpy(brain_mask).flatten()
    shares = code[0].flatten(1)[:, inside].double()
    tissue = tissue_map[0, 1:].flatten(1)[:, inside].double()
    ridge = RIDGE * max(1, shares.shape[1]) * torch.eye(len(shares), dtype=torch.float64)
    reading: Tensor = torch.linalg.solve(shares @ shares.T + ridge, shares @ tissue.T)
    return reading.float()


def decode_tissue(code: Tensor, reading: Tensor, brain_mask: BoolArray) -> NDArray[np.uint8]:
    """Read the likeliest tissue from a code.

    Args:
        code: (1, C, I, J, K), shares summing to 1.
        reading: (C, 3) of `fit_reading`.
        brain_mask: (I, J, K).

    Returns:
        (I, J, K): 1 CSF, 2 grey matter, 3 white matter; 0 outside the brain.
    """
    tissue = torch.einsum("cijk,ct->tijk", code[0].float(), reading).argmax(0) + 1
    return np.where(brain_mask, tissue.numpy(), 0).astype(np.uint8)


def learn_reading(model: PseudoHealthyModel) -> Tensor:
    """Find out how the code of these weights is read, (C, 3), from the encoder on one brain."""
    brain = draw_brain(READING_SEED)
    image = as_tensor(render(brain, means_of("T1w"), READING_SEED))
    anatomy = extract_anatomy(model, image)
    code = restore_code(model, anatomy, "tissue_map")
    return fit_reading(code, anatomy.tissue_map, brain.brain_mask)
