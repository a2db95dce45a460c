"""Fill lesions with what is expected there: input for programs that stumble over lesions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anatomaly.errors import ConfigError, GeometryError
from anatomaly.types import BoolArray
from anatomaly.volume import Volume


@dataclass(frozen=True)
class FillConfig:
    """How lesions are filled.

    Attributes:
        border_mm: width of the soft border, inside the filled region; 0 fills with a hard edge.
        grow_mm: by how much the mask is grown first, within the brain; 0 keeps the mask.

    Raises:
        ConfigError: a value is out of its range.
    """

    border_mm: float = 2.0
    grow_mm: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("border_mm", self.border_mm), ("grow_mm", self.grow_mm)):
            if not 0 <= value <= 20:
                raise ConfigError(f"{name} must lie in [0, 20], got {value}")


@dataclass(frozen=True)
class Filled:
    """A scan with its lesions filled.

    Attributes:
        volume: float32, the scan's units; the scan itself outside `region`.
        region: bool, the voxels that were changed.
    """

    volume: Volume
    region: BoolArray


def fill_lesions(
    scan: Volume,
    pseudo_healthy: Volume,
    anomaly_mask: Volume,
    brain_mask: Volume | None = None,
    config: FillConfig | None = None,
) -> Filled:
    """Put pseudo-healthy values inside the mask; the scan fades in over a soft border.

    The weight of the pseudo-healthy value at depth d inside the region is 3t² − 2t³ with
    t = min(1, d / border_mm), where d is 0 at the centre of the nearest voxel outside: no step at
    the edge, none where the border ends, and not one voxel outside the region is touched.

    Args:
        scan: (I, J, K), scanner units.
        pseudo_healthy: same grid and units.
        anomaly_mask: same grid, above zero where to fill.
        brain_mask: same grid; the mask grows only inside it. None lets it grow anywhere.
        config: the defaults if None.

    Raises:
        GeometryError: the volumes do not share one grid.
    """
    config = config or FillConfig()
    for name, volume in (("pseudo-healthy image", pseudo_healthy), ("mask", anomaly_mask)):
        if volume.shape != scan.shape or not np.allclose(volume.affine, scan.affine, atol=1e-3):
            raise GeometryError(
                f"the {name} (shape {volume.shape}) must lie on the grid of the scan (shape "
                f"{scan.shape}): is the result folder that of another scan?"
            )
    from scipy import ndimage

    region = anomaly_mask.data > 0
    if config.grow_mm > 0 and region.any():
        away = ndimage.distance_transform_edt(~region, sampling=scan.spacing_mm)
        allowed = brain_mask.data > 0 if brain_mask else np.ones_like(region)
        region = region | ((away <= config.grow_mm) & allowed)
    weight = _soften(region, scan, config.border_mm)
    values = scan.data + weight * (pseudo_healthy.data - scan.data)
    out = np.where(region, values, scan.data).astype(np.float32)
    return Filled(scan.with_data(out), region)


def _soften(
    region: BoolArray, grid: Volume, border_mm: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the weight of the pseudo-healthy value, 0 outside the region, 1 deep inside."""
    if border_mm == 0 or not region.any():
        return region.astype(np.float64)
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(region, sampling=grid.spacing_mm)
    t = np.clip(depth / border_mm, 0, 1)
    weight: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = t * t * (3 - 2 * t)
    return weight
