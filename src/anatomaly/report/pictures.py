"""The small pictures of the page: the largest finding, and how the scan was prepared.

Slices are shown as the overview shows them: seen from above, the patient's left on the left.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from anatomaly.components import keep_seeded
from anatomaly.geometry import apply_affine
from anatomaly.report.layers import Layers, UInt8, steps_up_to
from anatomaly.types import BoolArray

OUTLINE = (53, 224, 255)
"""Of the mask, as in the overview."""

BRAIN_OUTLINE, TEMPLATE_OUTLINE, TISSUE_OUTLINE = (255, 196, 64), (255, 92, 122), (120, 230, 140)
PIXELS_PER_MM = 2.0
LEVELS = (0.25, 0.45, 0.6, 0.75)
"""Where the axial slices of the preparation lie, as a share of the brain's height."""


def cut_mask(
    layers: Layers, threshold: float, min_mm3: float, grow_share: float = 1.0
) -> BoolArray:
    """Return which voxels of the page's grid pass, as `anomaly.postprocess.threshold_map` cuts."""
    steps = layers.arrays["anomaly_map"]
    low, high = (steps_up_to(cut, layers.map_step) for cut in (grow_share * threshold, threshold))
    return keep_seeded(steps > low, steps > high, layers.voxel_mm3, min_mm3)


def draw_finding(
    layers: Layers, mask: BoolArray, at_mm: Sequence[float] | None, stacked: bool = False
) -> bytes:
    """Return a JPEG: the axial slice through a finding, scan with outline and pseudo-healthy image.

    Args:
        layers: with `scan`; `pseudo_healthy` is left out where it is missing.
        mask: of `cut_mask`.
        at_mm: scanner mm; None takes the middle of the brain.
        stacked: one above the other instead of side by side.
    """
    level = _axial_level(layers, at_mm)
    scan = _slice(layers.arrays["scan"], 2, level)
    panes = [_paint(layers, scan, 2, [(_slice(mask, 2, level), OUTLINE)])]
    if "pseudo_healthy" in layers.arrays:
        inside = _slice(layers.arrays["brain_mask"], 2, level) > 0
        healthy = np.where(inside, _slice(layers.arrays["pseudo_healthy"], 2, level), scan)
        panes.append(_paint(layers, healthy, 2, []))
    return _jpeg(np.concatenate(panes) if stacked else _join(panes))


def draw_preparation(layers: Layers) -> bytes:
    """Return a JPEG to judge the preparation by: outline of the brain found, and of the template.

    Above the scan with the brain mask; below the same slices with the template's brain and white
    matter where the registration puts them.

    Args:
        layers: with `scan`; the lower row is left out without `template`.
    """
    brain = layers.arrays["brain_mask"] > 0
    cuts = [(2, _level(brain, 2, share)) for share in LEVELS]
    cuts += [(1, _level(brain, 1, 0.5)), (0, _level(brain, 0, 0.42))]
    rows = [[(brain, BRAIN_OUTLINE)]]
    if "template" in layers.arrays:
        template = layers.arrays["template"]
        rows.append([(template == 3, TISSUE_OUTLINE), (template > 0, TEMPLATE_OUTLINE)])
    pictures = []
    for outlines in rows:
        panes = []
        for axis, index in cuts:
            drawn = [(_slice(volume, axis, index), colour) for volume, colour in outlines]
            grey = _slice(layers.arrays["scan"], axis, index)
            panes.append(_paint(layers, grey, axis, drawn))
        pictures.append(_join(panes))
    return _jpeg(np.concatenate(pictures, axis=0))


def to_jpeg(png: bytes) -> bytes:
    """Return a picture as JPEG, a third of the size."""
    return _jpeg(np.asarray(Image.open(io.BytesIO(png)).convert("RGB")))


def shrink(jpeg: bytes, pixels: int) -> bytes:
    """Return a JPEG whose longer side has so many pixels; stacked slices come side by side."""
    image: Image.Image = Image.open(io.BytesIO(jpeg))
    if image.height > 1.5 * image.width:
        rgb = np.asarray(image)
        half = len(rgb) // 2
        image = Image.fromarray(np.concatenate([rgb[:half], rgb[half : 2 * half]], axis=1))
    image.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    return _jpeg(np.asarray(image))


def _axial_level(layers: Layers, at_mm: Sequence[float] | None) -> int:
    """Return the slice through a point, or through the middle of the brain; inside the grid."""
    brain = layers.arrays["brain_mask"]
    if at_mm is None:
        levels = np.nonzero(brain)[2]
        level = levels.mean() if levels.size else brain.shape[2] / 2
    else:
        to_voxels = np.asarray(np.linalg.inv(layers.affine), dtype=np.float64)
        level = apply_affine(to_voxels, np.array(at_mm, dtype=np.float64))[2]
    return int(np.clip(np.rint(level), 0, brain.shape[2] - 1))


def _level(brain: BoolArray, axis: int, share: float) -> int:
    """Return the slice that lies at a share of the brain's extent along an axis."""
    filled = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
    if not filled.size:
        return int(brain.shape[axis]) // 2
    first, last = int(filled[0]), int(filled[-1])
    return round(first + share * (last - first))


def _slice(data: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    """Return a slice as a picture: first axis to the right, second axis up."""
    picture: NDArray[Any] = np.take(data, index, axis).T[::-1]
    return picture


def _paint(
    layers: Layers,
    grey: NDArray[Any],
    axis: int,
    outlines: list[tuple[NDArray[Any], tuple[int, int, int]]],
) -> UInt8:
    """Return a slice in physical proportions as RGB, with the outlines of masks."""
    across, up = np.delete(layers.spacing_mm, axis)
    rows, columns = grey.shape
    size = (round(columns * across * PIXELS_PER_MM), round(rows * up * PIXELS_PER_MM))
    picture = Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    rgb = np.stack([np.asarray(picture)] * 3, axis=-1)
    for mask, colour in outlines:
        large = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
        inside = np.asarray(large) > 127
        rgb[inside & ~ndimage.binary_erosion(inside, iterations=2, border_value=1)] = colour
    return rgb.astype(np.uint8)


def _join(panes: list[UInt8]) -> UInt8:
    """Put pictures side by side, each in the middle of the height of the tallest."""
    height = max(pane.shape[0] for pane in panes)
    framed = []
    for pane in panes:
        above = (height - pane.shape[0]) // 2
        framed.append(np.pad(pane, ((above, height - pane.shape[0] - above), (4, 4), (0, 0))))
    return np.concatenate(framed, axis=1)


def _jpeg(rgb: UInt8) -> bytes:
    """Return a picture as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
