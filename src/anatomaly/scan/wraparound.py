"""Unsigned voxels that were stored as signed ones: the bright ones came out negative.

Detected by what neighbours do. In a wrapped image the step from the largest positive to the lowest
negative value runs through the head; read as unsigned it is gone. In a signed image (z-scored,
shifted) neighbours change their sign near 0, and reading them as unsigned would tear them apart.
Air is dark, so an image whose outer faces are negative was shifted, not wrapped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from anatomaly.scan.stored_image import StoredImage

LEAST_REACH = 0.85
"""Wrapped images reach both ends of the signed range up to this share."""
MOST_ROUGHNESS = 1.0
"""Steps read as unsigned over steps as stored: twelve scans wrapped on purpose have .06 to .86, the
same stretched over the signed range or z-scored 2.0 and more."""
LEAST_PAIRS = 50

_PLANES = 64
"""Planes along the slowest axis that are looked at."""


def undo_wraparound(image: StoredImage) -> StoredImage:
    """Return the image with its voxels read as unsigned, where that is what they are.

    Args:
        image: int8 and int16 voxels are judged, and floating ones that hold such whole numbers.
    """
    bits = _wrapped_bits(image.voxels) if image.intercept == 0 else 0
    if bits == 0:
        return image
    voxels = image.voxels
    if voxels.dtype.kind == "i":
        voxels = voxels.view(voxels.dtype.str.replace("i", "u"))
    else:
        voxels = np.where(voxels < 0, voxels + voxels.dtype.type(2**bits), voxels)
    share = float((image.voxels < 0).mean())
    return replace(image, voxels=voxels).with_warnings(
        f"{share:.1%} of the voxels are negative because unsigned {bits}-bit numbers were stored "
        "as signed ones; read as unsigned"
    )


def _wrapped_bits(voxels: np.ndarray[Any, Any]) -> int:
    """Return 8 or 16 where the voxels are unsigned numbers of that many bits, wrapped; else 0."""
    if voxels.dtype.kind not in "if" or voxels.dtype.itemsize > 8:
        return 0
    with np.errstate(all="ignore"):
        low, high = float(voxels.min()), float(voxels.max())
    for bits in (8, 16):
        half = 2.0 ** (bits - 1)
        if -half <= low < -LEAST_REACH * half and LEAST_REACH * half < high < half:
            fits = voxels.dtype.kind == "f" or voxels.dtype.itemsize * 8 == bits
            return bits if fits and _is_wrapped(voxels, 2.0**bits) else 0
    return 0


def _is_wrapped(voxels: np.ndarray[Any, Any], period: float) -> bool:
    """Tell whether steps between neighbours of unlike sign vanish when read as unsigned."""
    stride = max(1, voxels.shape[2] // _PLANES)
    planes = np.asarray(voxels[:, :, ::stride], dtype=np.float32)
    if not np.array_equal(planes, np.rint(planes)):
        return False
    faces = [planes[end].ravel() for end in (0, -1)] + [planes[:, end].ravel() for end in (0, -1)]
    if float(np.median(np.concatenate(faces))) < 0:
        return False
    stored = unsigned = 0.0
    pairs = 0
    for axis in (0, 1):
        one = np.moveaxis(planes, axis, 0)
        first, second = one[:-1], one[1:]
        unlike = (first < 0) != (second < 0)
        steps = np.abs(first[unlike] - second[unlike])
        stored += float(steps.sum(dtype=np.float64))
        unsigned += float(np.abs(period - steps).sum(dtype=np.float64))
        pairs += steps.size
    return pairs >= LEAST_PAIRS and unsigned < MOST_ROUGHNESS * stored
