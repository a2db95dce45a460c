"""Healthy brains of known tissue, drawn on the working grid in any contrast.

The anatomy is that of the phantom (`evaluation.phantom_head`): population means, sharpened and
bent. Perfectly registered and stripped, so that only the networks are measured. Smooth, and kinder
than a real brain: figures on it compare methods, they do not promise anything for patients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.evaluation.phantom_head import (
    CONTRASTS,
    Float32,
    grid_points,
    sample_anatomy,
    smooth_field,
)
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.preprocess.normalise import normalise_intensity
from anatomaly.types import BoolArray, MrSequence
from anatomaly.volume import Volume

BEND_MM, BEND_CONTROL_MM = 2.0, 32.0
NOISE, TEXTURE, BIAS = 0.02, 0.02, 0.03
"""Standard deviations: noise relative to the signal 1, texture and log bias field."""

CONTRAST_JITTER = 0.03
"""Standard deviation of each tissue mean between scans of one sequence."""


class Means(NamedTuple):
    """Signal of each tissue before noise, in [0, 1]."""

    csf: float
    grey: float
    white: float


@dataclass(frozen=True)
class DrawnBrain:
    """A healthy brain without a contrast yet.

    Attributes:
        tissue_share: (3, I, J, K) float32 in [0, 1], CSF, grey and white matter.
        brain_mask: (I, J, K) bool.
    """

    tissue_share: Float32
    brain_mask: BoolArray

    @property
    def tissue_map(self) -> NDArray[np.uint8]:
        """The tissue with the largest share, (I, J, K): 0 outside, 1 CSF, 2 grey, 3 white."""
        largest = self.tissue_share.argmax(0).astype(np.uint8) + np.uint8(1)
        return np.where(self.brain_mask, largest, 0).astype(np.uint8)


def draw_brain(seed: int, deform: Callable[[Float32], Float32] | None = None) -> DrawnBrain:
    """Draw a brain on the working grid, (160, 192, 160) voxels of 1 mm.

    Distribution: displacement N(0, 2 mm) at control points 32 mm apart.

    Args:
        seed: another one, another person.
        deform: takes template points (3, I, J, K) in mm and says where to read instead; the same
            person with and without it.
    """
    points = grid_points(TEMPLATE_AFFINE, TEMPLATE_SHAPE)
    if deform is not None:
        points = deform(points)
    rng = np.random.default_rng([seed, 11])
    bend = np.stack([smooth_field(points, BEND_CONTROL_MM, BEND_MM, rng) for _ in range(3)])
    grey, white, csf, _ = sample_anatomy(points + bend)
    return DrawnBrain(np.stack([csf, grey, white]), grey + white + csf >= 0.5)


def means_of(sequence: MrSequence, rng: np.random.Generator | None = None) -> Means:
    """Return the tissue means of a sequence, jittered by N(0, `CONTRAST_JITTER`) with an rng."""
    contrast = CONTRASTS[sequence]
    means = np.array([contrast.csf, contrast.grey, contrast.white])
    if rng is not None:
        means = means + rng.normal(0, CONTRAST_JITTER, 3)
    csf, grey, white = np.clip(means, 0, 1).tolist()
    return Means(csf, grey, white)


def render(brain: DrawnBrain, means: Means, seed: int) -> Float32:
    """Give a brain a contrast and bring it to [0, 1] as the preparation does.

    Distributions: tissue texture N(0, 2 %) smoothed at 2 mm, log bias field N(0, .03) at control
    points 80 mm apart, Gaussian noise N(0, .02).

    Args:
        brain: of `draw_brain`.
        means: of the tissues.
        seed: of texture, bias field and noise.

    Returns:
        (I, J, K) float32 in [0, 1], 0 outside the brain.
    """
    rng = np.random.default_rng([seed, 13])
    shape = brain.brain_mask.shape
    signal = np.tensordot(np.asarray(means, dtype=np.float32), brain.tissue_share, axes=1)
    texture = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 2.0)
    signal = signal * (1 + TEXTURE / texture.std() * texture)
    signal = signal * np.exp(smooth_field(grid_points(TEMPLATE_AFFINE, shape), 80.0, BIAS, rng))
    signal = signal + rng.normal(0, NOISE, shape).astype(np.float32)
    mask = Volume(brain.brain_mask, TEMPLATE_AFFINE)
    image, _ = normalise_intensity(Volume(signal.astype(np.float32), TEMPLATE_AFFINE), mask)
    return image.data.astype(np.float32)
