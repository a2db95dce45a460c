"""A phantom head made from the template, sampled by map_coordinates and not by our resampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.preprocess.template import load_template
from anatomaly.volume import Volume

CONTRASTS = {"T1w": (0.2, 0.6, 0.85), "T2w": (0.95, 0.45, 0.3), "FLAIR": (0.2, 0.72, 0.66)}
"""Brightness of CSF, grey and white matter."""

Phantom = Callable[..., tuple[Volume, Volume]]


def turn_about(axis: int, degrees: float) -> np.ndarray:
    """Rotation (4, 4) about one axis."""
    angle = np.radians(degrees)
    first, second = [a for a in range(3) if a != axis]
    out = np.eye(4)
    out[first, first] = out[second, second] = np.cos(angle)
    out[first, second], out[second, first] = -np.sin(angle), np.sin(angle)
    return out


@pytest.fixture(scope="session")
def oblique() -> np.ndarray:
    """Unequal spacing, two tilts, axes left-posterior-superior, origin off zero."""
    affine = turn_about(0, 8) @ turn_about(2, -6) @ np.diag([-2.0, -2.2, 2.6, 1.0])
    affine[:3, 3] += (83.0, 95.0, -88.0)
    return affine


@pytest.fixture(scope="session")
def make_phantom(oblique: np.ndarray) -> Phantom:
    """Return a function that samples the template's tissues on a scan grid.

    The scan's mm are the template's mm moved by `template_to_scanner`.
    """
    template = load_template()
    maps = (template.cerebrospinal_fluid, template.grey_matter.data, template.white_matter.data)

    def make(
        contrast: str = "T1w",
        template_to_scanner: np.ndarray | None = None,
        shape: tuple[int, int, int] = (93, 97, 79),
        noise: float = 0.02,
    ) -> tuple[Volume, Volume]:
        world = np.eye(4) if template_to_scanner is None else template_to_scanner
        to_template = np.linalg.inv(world @ template.brain.affine) @ oblique
        voxels = np.indices(shape).reshape(3, -1)
        places = to_template[:3, :3] @ voxels + to_template[:3, 3:]
        weights = CONTRASTS[contrast]
        tissue = sum(w * m for w, m in zip(weights, maps, strict=True))
        image = ndimage.map_coordinates(tissue, places, order=1).reshape(shape)
        whole = template.brain_mask.data.astype(np.float32)
        mask = ndimage.map_coordinates(whole, places, order=1).reshape(shape) > 0.5
        image += np.random.default_rng(5).normal(0, noise, shape)
        data = np.where(mask, 400.0 * np.clip(image, 0.01, None), 0).astype(np.float32)
        return Volume(data, oblique), Volume(mask, oblique)

    return make
