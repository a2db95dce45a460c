"""Found against planted: the figures that `anatomaly demo` prints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from anatomaly.errors import GeometryError
from anatomaly.evaluation.metrics import dice
from anatomaly.geometry import apply_affine
from anatomaly.volume import Volume


@dataclass(frozen=True)
class Recovery:
    """How well a planted lesion was found.

    Attributes:
        distance_mm: between the centres of mass of found and planted lesion; lower is better.
        volume_ratio: found over planted volume; 1 is right.
        dice: overlap in [0, 1]; higher is better.
        others: further lesions found elsewhere; lower is better.
    """

    distance_mm: float
    volume_ratio: float
    dice: float
    others: int


def measure_recovery(planted: Volume, found: Volume) -> Recovery | None:
    """Compare the largest found component that touches the planted lesion with it.

    Args:
        planted: (I, J, K), above zero inside the planted lesion; not empty.
        found: (I, J, K), above zero where an anomaly was found, on the same grid.

    Returns:
        None if nothing was found where the lesion is.

    Raises:
        GeometryError: the shapes differ.
    """
    truth = planted.data > 0
    labels, count = ndimage.label(found.data > 0, np.ones((3, 3, 3)))
    if found.shape != planted.shape:
        raise GeometryError(f"found has shape {found.shape}, planted {planted.shape}")
    touching = np.unique(labels[truth & (labels > 0)])
    if not len(touching):
        return None
    sizes = np.bincount(labels.ravel())
    lesion = labels == touching[sizes[touching].argmax()]
    centres = [apply_affine(planted.affine, np.argwhere(mask).mean(0)) for mask in (lesion, truth)]
    return Recovery(
        distance_mm=float(np.linalg.norm(centres[0] - centres[1])),
        volume_ratio=float(lesion.sum() / truth.sum()),
        dice=dice(lesion, truth),
        others=count - 1,
    )
