"""The lesion of a phantom: an irregular blob of known volume in white matter, soft at its rim."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.errors import ConfigError
from anatomaly.geometry import apply_affine
from anatomaly.volume import Volume

RIM_MM = 1.2
"""The lesion fades from all to nothing over about four times this length."""

IRREGULARITY_MM = 2.5
"""Standard deviation of the surface around a ball."""

REACH_MM = 35.0
"""No part of a lesion lies further from its first voxel along any axis."""


def grow_lesion(
    white: Volume,
    tissue: Volume,
    height_mm: NDArray[np.float32],
    volume_ml: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Grow a lesion of a given volume around a random point of deep cerebral white matter.

    Args:
        white: (I, J, K) share of white matter in [0, 1].
        tissue: (I, J, K) bool, grey or white matter: where a lesion may be.
        height_mm: (I, J, K) template z in mm, keeps it out of cerebellum and brainstem.
        volume_ml: volume of the part that is at least half lesion.
        rng: draws the centre (uniform over the deepest 10 % of white matter) and the shape
            (a ball whose radius varies as smooth normal noise of `IRREGULARITY_MM`).

    Returns:
        (I, J, K) share of the lesion in [0, 1]; one 26-connected component at 0.5.

    Raises:
        ConfigError: the volume does not fit into the tissue.
    """
    cerebral_white = (white.data > 0.6) & (height_mm > 5)
    depth = ndimage.distance_transform_edt(cerebral_white, sampling=white.spacing_mm)
    deep = np.argwhere(depth >= np.quantile(depth[cerebral_white], 0.9))
    return grow_around(deep[rng.integers(len(deep))], tissue, volume_ml, rng)


def grow_around(
    centre: NDArray[np.integer[Any]], tissue: Volume, volume_ml: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Grow a lesion of a given volume around a voxel, see `grow_lesion`.

    Args:
        centre: (3,) voxel, in the tissue.
        tissue: (I, J, K) bool, where a lesion may be.
        volume_ml: volume of the part that is at least half lesion.
        rng: draws the shape.

    Raises:
        ConfigError: the volume does not fit into the tissue.
    """
    spacing = tissue.spacing_mm
    reach = np.ceil(REACH_MM / spacing).astype(int)
    low = np.maximum(centre - reach, 0)
    box = tuple(slice(a, b + 1) for a, b in zip(low, centre + reach, strict=True))
    allowed = tissue.data[box]
    offset_mm = apply_affine(tissue.affine, np.argwhere(allowed) + low) - apply_affine(
        tissue.affine, centre.astype(np.float64)
    )
    noise = ndimage.gaussian_filter(rng.normal(size=allowed.shape), 5 / spacing)
    noise *= IRREGULARITY_MM / noise.std()
    radius_mm = np.full(allowed.shape, np.inf)
    radius_mm[allowed] = np.linalg.norm(offset_mm, axis=1) + noise[allowed]

    voxels = volume_ml * 1000 / tissue.voxel_volume_mm3
    level, core = _core_of_size(radius_mm, tuple(centre - low), voxels)
    rim = ndimage.binary_dilation(core, np.ones((3, 3, 3)), iterations=4)
    fade = 1 / (1 + np.exp(np.clip((radius_mm - level) / RIM_MM, -30, 30)))
    share = np.zeros(tissue.shape, np.float32)
    share[box] = np.where(core | (rim & allowed & (radius_mm > level)), fade, 0)
    return share


def _core_of_size(
    radius_mm: NDArray[np.float64], centre: tuple[int, ...], voxels: float
) -> tuple[float, NDArray[np.bool_]]:
    """Return the level whose component around the centre holds so many voxels, and the component.

    Raises:
        ConfigError: no level up to the reach of the box holds as many.
    """
    low, high = 0.0, REACH_MM
    core = _component(radius_mm < high, centre)
    if core.sum() < voxels:
        raise ConfigError(
            f"a lesion of {voxels:.0f} voxels does not fit here; take a smaller one or another seed"
        )
    while high - low > 1e-3:
        level = (low + high) / 2
        core = _component(radius_mm < level, centre)
        low, high = (level, high) if core.sum() < voxels else (low, level)
    return high, _component(radius_mm < high, centre)


def _component(mask: NDArray[np.bool_], centre: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the 26-connected component that holds the centre; empty if the centre is outside."""
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return np.asarray((labels == labels[centre]) & mask)
