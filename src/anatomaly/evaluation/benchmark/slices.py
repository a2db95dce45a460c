"""Axial slices of prepared images, for methods that see no volume; 2 mm, as papers use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset

from anatomaly.anomaly.postprocess import drop_rim
from anatomaly.errors import EvaluationError
from anatomaly.types import BoolArray
from anatomaly.volume import PreparedImage

FACTOR = 2
"""Voxels of 1 mm that make up one of a slice, along each axis."""

LEAST_BRAIN = 0.02
"""Share of a slice that has to be brain to be trained on."""

RIM_MM, MEDIAN_VOXELS = 3.0, 3
"""What is done to every score of slices: 6 mm median filter, and a rim that is not scored."""


class Slices(NamedTuple):
    """All axial slices of an image.

    Attributes:
        image: (K, C, I, J) float32, from below; one channel in [0, 1] unless a method has others.
        mask: (K, 1, I, J) float32, 1 inside the brain.
    """

    image: Tensor
    mask: Tensor


def cut_slices(prepared: PreparedImage) -> Slices:
    """Halve the resolution and cut into axial slices.

    Raises:
        EvaluationError: the grid does not halve three times in the plane of a slice.
    """
    shape = prepared.image.shape
    if any(n % (8 * FACTOR) for n in shape[:2]) or shape[2] % FACTOR:
        raise EvaluationError(f"a grid of {shape} does not divide by 16, 16 and 2")
    volumes = np.stack([prepared.image, prepared.brain_mask]).astype(np.float32)
    small = F.avg_pool3d(torch.from_numpy(volumes)[None], FACTOR)[0]
    image, share = small.permute(0, 3, 1, 2).unsqueeze(2)
    mask = (share > 0.5).float()
    return Slices(image * mask, mask)


def join_slices(scores: Tensor, brain_mask: BoolArray) -> NDArray[np.float32]:
    """Put scores of slices back together: median filter, full resolution, rim dropped.

    Args:
        scores: (K, 1, I, J) >= 0.
        brain_mask: (2 I, 2 J, 2 K) bool.

    Returns:
        (2 I, 2 J, 2 K) float32, 0 outside the brain and in its rim.
    """
    volume = scores[:, 0].permute(1, 2, 0).detach().float().cpu().numpy()
    calm = ndimage.median_filter(volume, size=MEDIAN_VOXELS)
    full = F.interpolate(torch.from_numpy(calm)[None, None], scale_factor=FACTOR, mode="trilinear")[
        0, 0
    ]
    return drop_rim(full.numpy(), brain_mask, RIM_MM)


class SliceSamples(Dataset[dict[str, Tensor]]):
    """Slices of healthy images in an endless random order: sample i depends on seed and i.

    Args:
        healthy: slices of each image.
        seed: of the order (uniform over slices, with replacement).

    Raises:
        EvaluationError: there is no slice with enough brain.
    """

    def __init__(self, healthy: Sequence[Slices], seed: int) -> None:
        if not healthy:
            raise EvaluationError("there is no healthy image to learn from")
        image, mask = (torch.cat([part[n] for part in healthy]) for n in (0, 1))
        enough = mask.mean((1, 2, 3)) > LEAST_BRAIN
        if not bool(enough.any()):
            raise EvaluationError("no slice of the healthy images holds enough brain")
        self.slices = Slices(image[enough], mask[enough])
        self._seed = seed

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Return one slice: image (C, I, J) and mask (1, I, J)."""
        picked = int(np.random.default_rng([self._seed, index]).integers(len(self.slices.image)))
        return {"image": self.slices.image[picked], "mask": self.slices.mask[picked]}
