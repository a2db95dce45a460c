"""A whole head on a coarse grid in template space: what stands around the brain can be seen there.

The working grid ends a few millimetres outside the brain and holds 0 there, so scalp, skull and
air are looked at here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from anatomaly.geometry import affine_about
from anatomaly.preprocess.references import computed_once
from anatomaly.preprocess.resample import empty_grid, field_of_view, resample, resample_mask
from anatomaly.preprocess.template import LEAST_PRIOR, load_template
from anatomaly.types import Affine, BoolArray, FloatArray
from anatomaly.volume import Volume

SPACING_MM = 2.0
SHAPE = (120, 140, 120)
ORIGIN_MM = (-119.0, -157.0, -139.0)
"""Of the first voxel in template mm: the box holds the largest head down to the mouth."""


@dataclass(frozen=True)
class CoarseHead:
    """A head in template space on a grid of 2 mm, shape (120, 140, 120), axes RAS+.

    Attributes:
        image: float32, scanner units after the bias correction.
        brain_mask: bool.
        covered: bool, inside the scan's field of view.
        scanner_to_template: (4, 4), scanner mm to template mm.
    """

    image: FloatArray
    brain_mask: BoolArray
    covered: BoolArray
    scanner_to_template: Affine

    @property
    def native_mm(self) -> float:
        """Length in the scan of one template mm, the mean over all directions."""
        return float(np.abs(np.linalg.det(self.scanner_to_template[:3, :3])) ** (-1 / 3))

    @property
    def voxel_ml(self) -> float:
        """Volume in the scan of one voxel of the grid."""
        return (SPACING_MM * self.native_mm) ** 3 / 1000.0


class TissueRegions(NamedTuple):
    """Where the template's tissues are on the coarse grid, all bool, and template mm.

    Attributes:
        fluid: CSF of ventricles and sulci.
        grey: grey matter.
        white: white matter.
        places_mm: template x, y and z of each voxel, to be broadcast.
    """

    fluid: BoolArray
    grey: BoolArray
    white: BoolArray
    places_mm: tuple[FloatArray, FloatArray, FloatArray]


def coarse_grid() -> Volume:
    """Return an empty volume (no memory) on the coarse grid."""
    origin = np.array(ORIGIN_MM)
    return empty_grid(SHAPE, affine_about(SPACING_MM * np.eye(3), np.zeros(3), origin))


def place_coarse_head(
    volume: Volume, brain_mask_template: Volume, scanner_to_template: Affine
) -> CoarseHead:
    """Lay a head onto the coarse grid.

    Args:
        volume: scanner space, any unit.
        brain_mask_template: bool, in template mm, any grid.
        scanner_to_template: (4, 4), scanner mm to template mm.
    """
    grid = coarse_grid()
    to_voxel = np.linalg.inv(volume.affine) @ np.linalg.inv(scanner_to_template) @ grid.affine
    return CoarseHead(
        image=resample(volume, grid, scanner_to_template).data,
        brain_mask=resample_mask(brain_mask_template, grid),
        covered=field_of_view(to_voxel.astype(np.float32), volume.shape, grid.shape),
        scanner_to_template=scanner_to_template,
    )


@computed_once
def load_tissue_regions() -> TissueRegions:
    """Return the template's tissues on the coarse grid, kept in memory."""
    grid, template = coarse_grid(), load_template()
    fluid, grey, white = (
        resample(template.brain_mask.with_data(prior), grid).data > LEAST_PRIOR
        for prior in template.tissues
    )
    axes = (
        first + SPACING_MM * np.arange(size, dtype=np.float32)
        for first, size in zip(ORIGIN_MM, SHAPE, strict=True)
    )
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    return TissueRegions(fluid, grey, white, (x, y, z))
