"""Lesions of known size, contrast and place, planted into a healthy prepared image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.anomaly.regions import LEAST_CORTEX, LEAST_VENTRICLE, load_regions
from anatomaly.errors import ConfigError
from anatomaly.evaluation.benchmark.planting import lay_lesion
from anatomaly.evaluation.phantom_lesion import grow_around
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.method import LESION_SIGN
from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import PreparedImage, Volume

SIZES_ML = (10.0, 3.0, 1.0, 0.3, 0.1)
"""Of the lesions of one image; the largest are placed first."""

CONTRASTS = {"faint": 0.2, "clear": 0.4, "strong": 0.8}
"""Difference to the median of the scan's white matter, as a share of it."""

PLACES = ("periventricular", "deep white matter", "juxtacortical", "deep grey", "infratentorial")
NEAR_MM, FAR_MM = 5.0, 8.0
"""From ventricle (or cortex) to the centre of a lesion that is near, and of one that is deep."""

APART_MM = 8.0
"""Between the rims of two lesions."""

_CSF, _GREY, _WHITE = 1, 2, 3


class Planned(NamedTuple):
    """A lesion to plant: mL, difference to the white matter (`CONTRASTS`), one of `PLACES`."""

    size_ml: float
    contrast: float
    place: str


class PlantedLesion(NamedTuple):
    """A lesion that was planted: what was planned, and its core, flat indices of voxels."""

    plan: Planned
    core: NDArray[np.int64]


def find_places(tissue_map: NDArray[np.uint8], brain_mask: BoolArray) -> dict[str, BoolArray]:
    """Return where the centre of a lesion may lie, for each of `PLACES`.

    Args:
        tissue_map: (160, 192, 160) 0 background, 1 CSF, 2 grey, 3 white matter.
        brain_mask: same grid.
    """
    share = {
        kind: _share_of(kind)
        for kind in ("lobe", "lateral ventricle", "deep grey matter", "infratentorial")
    }
    ventricle = (tissue_map == _CSF) & (share["lateral ventricle"] >= LEAST_VENTRICLE)
    cortex = (tissue_map == _GREY) & (share["lobe"] >= LEAST_CORTEX)
    white = (tissue_map == _WHITE) & (share["infratentorial"] < 0.5)
    from_ventricle = ndimage.distance_transform_edt(~ventricle)
    from_cortex = ndimage.distance_transform_edt(~cortex)
    below = (tissue_map > _CSF) & (share["infratentorial"] > 0.5)
    deep = ndimage.binary_erosion(brain_mask, iterations=5)
    return {
        "periventricular": white & (from_ventricle <= NEAR_MM),
        "deep white matter": white & (from_ventricle > FAR_MM) & (from_cortex > NEAR_MM),
        "juxtacortical": white & (from_cortex <= NEAR_MM) & (from_ventricle > FAR_MM) & deep,
        "deep grey": (tissue_map == _GREY) & (share["deep grey matter"] >= 0.5),
        "infratentorial": below & deep,
    }


def plant_at_places(
    prepared: PreparedImage,
    tissue_map: NDArray[np.uint8],
    places: Mapping[str, BoolArray],
    plans: Sequence[Planned],
    rng: np.random.Generator,
) -> tuple[PreparedImage, list[PlantedLesion]]:
    """Plant lesions that do not touch one another.

    Args:
        prepared: of a healthy person.
        tissue_map: (160, 192, 160), of the extractor.
        places: of `find_places`.
        plans: largest first.
        rng: draws centres and shapes.

    Returns:
        The image with the lesions, and those that found room.
    """
    brain = prepared.brain_mask
    tissue = Volume(brain & (tissue_map > _CSF), TEMPLATE_AFFINE)
    white_matter = float(np.median(prepared.image[brain & (tissue_map == _WHITE)]))
    sign = 1.0 if LESION_SIGN[prepared.sequence] == "brighter" else -1.0
    image: FloatArray = prepared.image.astype(np.float32)
    free = np.ones(brain.shape, dtype=bool)
    planted = []
    for plan in plans:
        centres = np.argwhere(places[plan.place] & free)
        if not len(centres):
            continue
        centre = centres[rng.integers(len(centres))]
        try:
            share = grow_around(centre, tissue, plan.size_ml, rng)
        except ConfigError:  # no room for so large a lesion there
            continue
        core = np.flatnonzero(share >= 0.5)
        image = lay_lesion(image, share, (1 + sign * plan.contrast) * white_matter)
        planted.append(PlantedLesion(plan, core))
        free &= _far_from(share >= 0.5, APART_MM + _radius_mm(plan.size_ml))
    return PreparedImage(np.clip(image, 0, 1) * brain, brain, prepared.sequence), planted


def _share_of(kind: str) -> FloatArray:
    """Return the share of people with a region of a kind, on the working grid."""
    atlas = load_regions()
    of_kind = np.isin(atlas.labels, atlas.of_kind(kind))
    share: FloatArray = (atlas.shares * of_kind).sum(axis=-1, dtype=np.float32) / 100
    for axis in range(3):  # a voxel of the atlas holds eight of the working grid
        share = np.repeat(share, 2, axis=axis)
    return share


def _far_from(core: BoolArray, reach_mm: float) -> BoolArray:
    """Return True further than `reach_mm` from a mask."""
    far: BoolArray = ndimage.distance_transform_edt(~core) > reach_mm
    return far


def _radius_mm(volume_ml: float) -> float:
    """Return the radius of a ball.

    >>> round(_radius_mm(4.18879), 3)
    10.0
    """
    return float((3000 * volume_ml / (4 * np.pi)) ** (1 / 3))
