"""Recognise a scan whose skull was removed before: a brain on a constant background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from anatomaly.preprocess.usual_range import background_value
from anatomaly.types import BoolArray
from anatomaly.volume import Volume, outer_faces

TOLERANCE = 1e-3
"""Share of the intensity range within which a voxel counts as background."""

LEAST_FACE_SHARE = 0.7
"""Stripped scans: 0.99 or more of the outer faces are constant; a slab of a head about 0.5."""

SURE_VOLUME_ML = (250.0, 2000.0)
"""Stripped brains of `cases/` hold 1100 to 1690 mL, MNI152's 1880, whole heads 3470 or more."""

MOST_VOLUME_ML = 2600.0
"""Between 2000 and 2600 mL it may be a generous mask, or a small cropped head."""


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
