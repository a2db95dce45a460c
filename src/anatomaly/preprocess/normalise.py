"""Bring intensities inside the brain to [0, 1], and back to the scan's own units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anatomaly.errors import PreparationError
from anatomaly.volume import Volume

PREPARATION_VERSION = 2
"""To be raised with every change after which a prepared image means something else: a step of
the chain that is new, gone, or does another thing (2: the bias field is made even over both
hemispheres). Weights are refused by a version that they were not made for."""

LOW_PERCENTILE = 0.5
HIGH_PERCENTILE = 99.5

HIGH_VALUE = 0.8
"""What the upper percentile becomes: a lesion brighter than it keeps its contrast, up to 1."""


@dataclass(frozen=True)
class Normalisation:
    """The two intensities that became 0 and `HIGH_VALUE`.

    Attributes:
        low: 0.5th percentile inside the brain, scanner units (after bias correction).
        high: 99.5th percentile inside the brain, same units.
    """

    low: float
    high: float


def normalise_intensity(volume: Volume, brain_mask: Volume) -> tuple[Volume, Normalisation]:
    """Map the 0.5th and 99.5th percentile inside the brain to 0 and .8, and clip to [0, 1].

    Args:
        volume: any unit.
        brain_mask: bool, same grid.

    Returns:
        float32 in [0, 1], 0 outside the mask; and the record.

    Raises:
        PreparationError: the mask is empty, or the brain holds (nearly) one value only.
    """
    inside = volume.data[brain_mask.data]
    if inside.size == 0:
        raise PreparationError("the brain mask is empty; give one with --brain-mask")
    low, high = (float(x) for x in np.percentile(inside, (LOW_PERCENTILE, HIGH_PERCENTILE)))
    if not high - low > 1e-6 * max(abs(low), abs(high)):
        raise PreparationError(
            f"the brain holds one intensity only ({low:g}): this is a mask or an empty image, "
            "not a scan"
        )
    data = np.zeros(volume.shape, dtype=np.float32)
    data[brain_mask.data] = np.clip(HIGH_VALUE * (inside - low) / (high - low), 0.0, 1.0)
    return volume.with_data(data), Normalisation(low, high)


def undo_normalise(volume: Volume, record: Normalisation) -> Volume:
    """Map 0 and .8 back to the two recorded intensities (what was clipped stays clipped)."""
    unit = (record.high - record.low) / HIGH_VALUE
    data = volume.data * np.float32(unit) + np.float32(record.low)
    return volume.with_data(data.astype(np.float32))
