"""What of a scan is background: the usual range of the rest, and stripped brains told from heads.

The range is that which intensities usually have, however many voxels lie outside it. A scan whose
skull was removed before is recognised as a brain on a constant background.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import Volume, outer_faces

PERCENTILES = (0.5, 99.5)

BLOCK = 3
"""Voxels along each side of a block; its median stands for it."""

MOST_BLOCKS = 200_000
"""Of a larger scan, blocks are left out at regular steps."""

TOLERANCE = 1e-3
"""Share of the intensity range within which a voxel counts as background."""

LEAST_FACE_SHARE = 0.7
"""Stripped scans: 0.99 or more of the outer faces are constant; a slab of a head about 0.5."""

SURE_VOLUME_ML = (250.0, 2000.0)
"""Stripped brains of `cases/` hold 1100 to 1690 mL, MNI152's 1880, whole heads 3470 or more."""

MOST_VOLUME_ML = 2600.0
"""Between 2000 and 2600 mL it may be a generous mask, or a small cropped head."""

MOST_SPREAD = 0.01
"""An outer plane is empty where its values differ by no more than this share of the usual range.

Padding (one value, or faint noise) is; air as a scanner records it is not (.04 and more in the raw
heads at hand), so a scan that nobody padded is not cut."""


@dataclass(frozen=True)
class UsualRange:
    """Two intensities between which nearly all of a scan lies.

    Attributes:
        low: scanner units.
        high: same units.
    """

    low: float
    high: float

    @property
    def width(self) -> float:
        """Distance of the two, the measure for what lies outside; 0 in a constant image."""
        return self.high - self.low

    @property
    def floor(self) -> float:
        """Where there is no signal: 0, or the low end of a scan shifted below it (z-scored)."""
        return min(0.0, self.low)


@dataclass(frozen=True)
class Foreground:
    """What lies on the constant background.

    Attributes:
        mask: bool (I, J, K), the largest component, holes filled.
        background: intensity of the background.
        face_share: share of voxels on the six outer faces that are background, 0 to 1.
        volume_ml: volume of the mask.
    """

    mask: BoolArray
    background: float
    face_share: float
    volume_ml: float

    @property
    def is_brain(self) -> bool:
        """True where size and background leave no doubt that this is a stripped brain."""
        low, high = SURE_VOLUME_ML
        return self.face_share >= LEAST_FACE_SHARE and low <= self.volume_ml <= high

    @property
    def is_doubtful(self) -> bool:
        """True where it may be a stripped brain, and a second look is worth its time."""
        high = SURE_VOLUME_ML[1]
        return self.face_share >= LEAST_FACE_SHARE and high < self.volume_ml <= MOST_VOLUME_ML


def find_usual_range(data: FloatArray) -> UsualRange:
    """Return the 0.5th and 99.5th percentile of the medians of 3×3×3 blocks, background left out.

    A percentile of the voxels themselves moves with the very spikes that are to be judged by it:
    .2 % of all voxels are 1 % of those in a stripped brain. A block's median stays while less than
    half of the block is spoilt, whether by single voxels, lines or a plane.

    Args:
        data: (I, J, K), finite, any unit. The most frequent value of its outer faces is left out.

    >>> noisy = np.random.default_rng(0).normal(100, 10, (60, 60, 60))
    >>> noisy.ravel()[::50] = 1e6
    >>> find_usual_range(noisy).high < 115
    True
    """
    medians = _block_medians(data)
    there = medians[medians != background_value(data)]
    if not there.size:
        return UsualRange(float(data.min()), float(data.max()))
    low, high = (float(value) for value in np.percentile(there, PERCENTILES))
    return UsualRange(low, high)


def background_value(data: FloatArray) -> float:
    """Return the most frequent value of the six outer faces."""
    values, counts = np.unique(outer_faces(data), return_counts=True)
    return float(values[counts.argmax()])


def find_foreground(volume: Volume) -> Foreground:
    """Return the largest object that stands out from the most frequent value of the outer faces.

    Args:
        volume: finite, any unit; the background may be any constant (z-scored scans: negative).
    """
    data = volume.data
    faces, background = outer_faces(data), background_value(data)
    reach = np.abs(np.percentile(data, (0.1, 99.9)) - background).max()
    band = TOLERANCE * max(float(reach), 1e-12)
    share = float(np.mean(np.abs(faces - background) <= band))
    standing_out = np.abs(data - np.asarray(background, dtype=data.dtype)) > band
    mask = fill_holes(keep_largest(standing_out))
    return Foreground(mask, background, share, float(mask.sum()) * volume.voxel_volume_mm3 / 1000)


def keep_largest(mask: BoolArray) -> BoolArray:
    """Return the largest face-connected component of a mask; an empty mask stays empty."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def fill_holes(mask: BoolArray) -> BoolArray:
    """Fill what is enclosed in 3D; works on the bounding box, which saves most of the time."""
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes or boxes[0] is None:
        return mask
    out = mask.copy()
    out[boxes[0]] = ndimage.binary_fill_holes(np.pad(mask[boxes[0]], 1))[1:-1, 1:-1, 1:-1]
    return out


def _block_medians(data: FloatArray) -> FloatArray:
    """Return the median of each block (or of a regular choice of blocks), shape (N,)."""
    sides = [min(BLOCK, size) for size in data.shape]
    counts = [size // side for size, side in zip(data.shape, sides, strict=True)]
    step = max(1, int(np.ceil((np.prod(counts) / MOST_BLOCKS) ** (1 / 3))))
    whole = data[tuple(slice(n * side) for n, side in zip(counts, sides, strict=True))]
    shape = [length for pair in zip(counts, sides, strict=True) for length in pair]
    blocks = whole.reshape(shape)[::step, :, ::step, :, ::step]
    flat = blocks.transpose(0, 2, 4, 1, 3, 5).reshape(-1, int(np.prod(sides)))
    return np.asarray(np.median(flat, axis=1))
