"""Measure what a head looks like: its cover, its girth, its brightest veins.

Pure functions on a `CoarseHead`; `unusual.py` holds the limits and says what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from anatomaly.preprocess.background import MOST_SPREAD, find_usual_range
from anatomaly.preprocess.coarse_head import SPACING_MM, CoarseHead, load_tissue_regions
from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import Volume

COVER_FROM_MM, COVER_TO_MM = 5.0, 17.0
"""Distance outside the brain, in the scan's mm, at which skull and scalp lie: in an infant from
4 mm on, in adults up to 18 mm. Bright CSF beside a tight mask ends before."""

AIR_FROM_MM = 30.0
"""Distance outside the brain from which the most of what is in view is air."""

LOWEST_MM = -11.0
"""Template z from which the head is looked at here: below lie face and neck."""

CONVEXITY_MM = 15.0
"""Template z above which the brain is covered by skull and scalp alone, without a face."""

HEAD_LEVEL = 0.2
"""Share of the brain's signal from which a place belongs to the head and not to the air."""

GIRTH_LEVELS_MM = (0.0, 41.0)
"""Template z between which the largest girth of a head lies: over brow and back of the head."""

ONE_VALUE = 0.97
"""Share of equal values outside the brain from which a scan has no skull; raw heads in the
largest fields of view: 0.9."""

BRIGHT = 1.5
"""Brightness (CSF 0, white matter 1) that no healthy tissue reaches without contrast agent."""


@dataclass(frozen=True)
class Appearance:
    """What was measured; None where it cannot be (no skull in the scan, head cut off).

    Attributes:
        brain_ml: volume of the whole brain with CSF, mL, also where a part lies outside the scan.
        finest_mm: smallest voxel size of the scan.
        cover_signal: signal of skull and scalp over that of the brain; 0 is air, see
            `cover_signal`.
        cover_mm: median distance from the brain's surface to the head's; 10 to 18 in adults.
        girth_mm: largest circumference of the head; 510 to 620 in adults.
        vein_brightness: see `vein_brightness`; None where CSF, grey and white matter are not in
            the order of T1w.
        bright_ml: volume of the brain's core brighter than `BRIGHT`, mL; None as above.
    """

    brain_ml: float
    finest_mm: float
    cover_signal: float | None = None
    cover_mm: float | None = None
    girth_mm: float | None = None
    vein_brightness: float | None = None
    bright_ml: float | None = None

    def figures(self) -> dict[str, float]:
        """Return what was measured, rounded, without what could not be.

        >>> Appearance(brain_ml=1400.0, finest_mm=1.0, girth_mm=560.25).figures()
        {'brain_ml': 1400.0, 'finest_mm': 1.0, 'girth_mm': 560.25}
        """
        values = vars(self).items()
        return {name: round(float(value), 3) for name, value in values if value is not None}


def measure_appearance(
    head: CoarseHead, finest_mm: float, *, bare: bool, missing: float = 0.0
) -> Appearance:
    """Measure a head.

    Args:
        head: on the coarse grid.
        finest_mm: smallest voxel size of the scan.
        bare: True where the scan came without skull (`is_bare`): around the brain is nothing.
        missing: share of the brain that the scan does not cover, 0 to 1.
    """
    brain_ml = float(head.brain_mask.sum()) * head.voxel_ml / (1.0 - min(missing, 0.9))
    cover = thickness = girth = veins = bright = None
    brightness = white_scale(head)
    if brightness is not None:
        veins, bright = vein_brightness(head, brightness), bright_ml(head, brightness)
    upper = _upper_part(head)
    if not bare and upper.brain_mask.any():
        far = ndimage.distance_transform_edt(~upper.brain_mask)
        distance = np.asarray(far * SPACING_MM * upper.native_mm, dtype=np.float32)
        air = _air_level(upper, distance)
        cover = cover_signal(upper, distance, air)
        if cover is not None and cover > HEAD_LEVEL:
            mask = find_head(upper, air)
            thickness, girth = cover_mm(upper, mask), girth_mm(upper, mask)
    return Appearance(brain_ml, finest_mm, cover, thickness, girth, veins, bright)


def is_bare(volume: Volume, brain_mask: Volume) -> bool:
    """Return whether all around the brain there is (nearly) one value: the skull was taken out.

    Args:
        volume: as it was scanned, before any correction, any unit.
        brain_mask: bool, same grid; a tighter one than the scan's own does no harm.
    """
    step = (slice(None, None, 2),) * 3
    outside = volume.data[step][~brain_mask.data[step]]
    if outside.size == 0:
        return True
    width = MOST_SPREAD * find_usual_range(volume.data).width
    return bool(np.mean(np.abs(outside - np.median(outside)) <= width) > ONE_VALUE)


def cover_signal(head: CoarseHead, distance: FloatArray, air: float) -> float | None:
    """Return how much signal skull and scalp give over the brain's convexity, brain = 1, air = 0.

    In each direction (15° in azimuth and elevation) the 95th percentile between 5 and 17 mm
    outside the brain, so that skin alone is enough where fat is suppressed; the median over the
    directions. None where fewer than a third of the directions are in view.

    Args:
        head: upper part of a head.
        distance: outside the brain, in the scan's mm, same grid.
        air: signal of air.
    """
    brain = float(np.median(head.image[head.brain_mask])) - air
    if brain <= 0:
        return None
    x, y, z = (np.broadcast_to(axis, distance.shape) for axis in _places(head))
    around = (distance > COVER_FROM_MM) & (distance <= COVER_TO_MM) & (z > CONVEXITY_MM)
    x, y, z = x[around], y[around] + 18.0, z[around] - 10.0  # from the middle of the brain
    azimuth = ((np.arctan2(y, x) + np.pi) / (2 * np.pi) * 24).astype(int).clip(0, 23)
    elevation = (np.arctan2(z, np.hypot(x, y)) / (np.pi / 2) * 6).astype(int).clip(0, 5)
    direction = np.where(head.covered[around], azimuth * 6 + elevation, -1)
    values = (head.image[around] - air) / brain
    wanted = np.unique(azimuth * 6 + elevation)
    per_direction = [values[direction == one] for one in wanted]
    covers = [np.percentile(signals, 95.0) for signals in per_direction if signals.size >= 20]
    return float(np.median(covers)) if len(covers) * 3 >= len(wanted) > 0 else None


def find_head(head: CoarseHead, air: float) -> BoolArray:
    """Return where the head is: the brain and what has a fifth of its signal, holes filled."""
    brain = float(np.median(head.image[head.brain_mask])) - air
    bright = ((head.image - air > HEAD_LEVEL * brain) & head.covered) | head.brain_mask
    closed = ndimage.binary_closing(np.pad(bright, 4), iterations=4)[4:-4, 4:-4, 4:-4]
    for level in range(closed.shape[2]):
        closed[:, :, level] = ndimage.binary_fill_holes(closed[:, :, level])
    labels, _ = ndimage.label(closed)
    return np.asarray(labels == np.bincount(labels[head.brain_mask]).argmax())


def cover_mm(head: CoarseHead, head_mask: BoolArray) -> float | None:
    """Return the median thickness of scalp, skull and CSF over the convexity, in the scan's mm."""
    surface = head.brain_mask & ~ndimage.binary_erosion(head.brain_mask)
    surface &= _places(head)[2] > CONVEXITY_MM + 5.0
    if not surface.any():
        return None
    depth = ndimage.distance_transform_edt(head_mask | ~head.covered)[surface]
    return float(np.median(depth)) * SPACING_MM * head.native_mm


def girth_mm(head: CoarseHead, head_mask: BoolArray) -> float | None:
    """Return the largest circumference of the head in the template's axial planes, in scan mm.

    That of the convex hull, as a tape measure lies. None where the field of view cuts the head.
    """
    heights = _places(head)[2].ravel()
    low, high = GIRTH_LEVELS_MM
    levels = np.flatnonzero((heights >= low) & (heights <= high))[::2]
    _, to_plane = np.linalg.qr(np.linalg.inv(head.scanner_to_template)[:3, :2] * SPACING_MM)
    girths = [_girth_of(head_mask[:, :, k], head.covered[:, :, k], to_plane) for k in levels]
    known = [girth for girth in girths if girth is not None]
    return max(known) if known and len(known) == len(girths) else None


def _girth_of(level: BoolArray, covered: BoolArray, to_plane: FloatArray) -> float | None:
    """Return the circumference of one plane's hull; None where the head reaches the scan's edge."""
    outline = level & ~ndimage.binary_erosion(level)
    edge = ndimage.binary_dilation(~covered, iterations=2, border_value=1)
    if outline.sum() < 20 or (outline & edge).sum() > 0.03 * outline.sum():
        return None
    try:
        hull = ConvexHull(np.argwhere(outline) @ to_plane.T)
    except QhullError:
        return None
    return float(hull.area) + np.pi * SPACING_MM  # from the centres of voxels to their far sides


def white_scale(head: CoarseHead) -> FloatArray | None:
    """Return the image on a scale on which CSF is 0 and white matter 1.

    None where CSF is not the darkest tissue and white matter the brightest, as in T1w.
    """
    regions = load_tissue_regions()
    values = [head.image[head.brain_mask & one] for one in regions[:3]]
    if any(value.size < 20 for value in values):
        return None
    fluid, grey, white = (float(np.median(value)) for value in values)
    if not fluid < grey < white:
        return None
    return np.asarray((head.image - fluid) / (white - fluid), dtype=np.float32)


def vein_brightness(head: CoarseHead, brightness: FloatArray) -> float | None:
    """Return the 97th percentile around the great vein and the straight sinus, white matter = 1.

    A box in the midline, 10 x 42 x 30 mm, that also holds splenium and vermis: without contrast
    agent hardly anything in it is brighter than white matter.

    Args:
        head: whole.
        brightness: of `white_scale`.
    """
    x, y, z = load_tissue_regions().places_mm
    box = (np.abs(x) <= 5) & (y > -80) & (y < -38) & (z > -10) & (z < 20)
    values = brightness[box & _core(head)]
    return float(np.percentile(values, 97.0)) if values.size else None


def bright_ml(head: CoarseHead, brightness: FloatArray) -> float:
    """Return how much of the brain's core is brighter than `BRIGHT`, in mL of the scan."""
    return float((brightness[_core(head)] > BRIGHT).sum()) * head.voxel_ml


def _core(head: CoarseHead) -> BoolArray:
    """Return the brain without its outer 4 mm: scalp and fat in a generous mask stay out."""
    return np.asarray(ndimage.binary_erosion(head.brain_mask, iterations=2))


def _upper_part(head: CoarseHead) -> CoarseHead:
    """Return what lies above the face, which halves the work."""
    first = int(np.searchsorted(load_tissue_regions().places_mm[2].ravel(), LOWEST_MM))
    above = np.s_[:, :, first:]
    mask, covered = head.brain_mask[above], head.covered[above]
    return replace(head, image=head.image[above], brain_mask=mask, covered=covered)


def _places(head: CoarseHead) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return template x, y and z of the voxels of a head or its upper part, to be broadcast."""
    x, y, z = load_tissue_regions().places_mm
    return x, y, z[:, :, z.shape[2] - head.image.shape[2] :]


def _air_level(head: CoarseHead, distance: FloatArray) -> float:
    """Return the signal of air; where no air is in view, the darkest of what is."""
    values = head.image[head.covered & (distance > AIR_FROM_MM)]
    if values.size >= 1000:
        return float(np.median(values))
    return float(np.percentile(head.image[head.covered], 1.0)) if head.covered.any() else 0.0
