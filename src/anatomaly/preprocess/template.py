"""The MNI152 template that ships inside nilearn, cut to the working grid and kept in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, voxel_to_voxel
from anatomaly.preprocess.references import computed_once
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Volume

LEAST_PRIOR = 0.8
"""Where a tissue's prior is above, most people have this tissue."""


@dataclass(frozen=True)
class Template:
    """MNI152 (ICBM 2009a symmetric, T1w) on the working grid of 1 mm.

    Attributes:
        brain: float32 in [0, 1], T1w intensities inside the brain mask, 0 outside.
        brain_mask: bool.
        grey_matter: float32 in [0, 1], prior probability.
        white_matter: float32 in [0, 1], prior probability.
    """

    brain: Volume
    brain_mask: Volume
    grey_matter: Volume
    white_matter: Volume

    @property
    def cerebrospinal_fluid(self) -> FloatArray:
        """What grey and white matter leave of the brain mask, (I, J, K) in [0, 1]."""
        rest = 1.0 - self.grey_matter.data - self.white_matter.data
        return np.where(self.brain_mask.data, np.clip(rest, 0.0, 1.0), 0.0).astype(np.float32)

    @property
    def tissues(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Priors of CSF, grey and white matter, each (I, J, K) in [0, 1]."""
        return self.cerebrospinal_fluid, self.grey_matter.data, self.white_matter.data


@computed_once
def load_template() -> Template:
    """Load the template once; takes about two seconds (nilearn's import)."""
    from nilearn import datasets

    def load(name: str) -> Volume:
        image = getattr(datasets, f"load_mni152_{name}")(resolution=1)
        data = _place_on_working_grid(image.get_fdata(dtype=np.float32), image.affine)
        return Volume(data, TEMPLATE_AFFINE.copy())

    mask = load("brain_mask")
    inside = mask.data > 0.5
    brain = load("template")
    return Template(
        brain=brain.with_data(np.where(inside, brain.data, 0).astype(np.float32)),
        brain_mask=mask.with_data(inside),
        grey_matter=load("gm_template"),
        white_matter=load("wm_template"),
    )


def _place_on_working_grid(data: FloatArray, affine: Affine) -> FloatArray:
    """Cut and pad an array whose 1 mm grid differs from the working grid by whole voxels."""
    shift = np.rint(voxel_to_voxel(affine, TEMPLATE_AFFINE)[:3, 3]).astype(int)
    places = list(zip(shift, data.shape, TEMPLATE_SHAPE, strict=True))
    padded = np.pad(data, [(max(0, s), max(0, room - size - s)) for s, size, room in places])
    inside = tuple(slice(max(0, -s), max(0, -s) + room) for s, _, room in places)
    return np.ascontiguousarray(padded[inside])
