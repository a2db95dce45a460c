"""The head of a phantom: tissue maps from nilearn's priors, plain shells of skull and scalp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from anatomaly.geometry import voxel_to_voxel
from anatomaly.types import Affine, MrSequence

Float32 = NDArray[np.float32]

BRAINSTEM_MM = ((-18.0, 18.0), (-44.0, -10.0), (-75.0, -6.0))
"""Box around the brainstem and the cerebellar peduncles, RAS+ mm in MNI152."""

WHITE_OF_BRAINSTEM = 3.0
"""How much more white matter counts there: its prior mixes tracts and nuclei half and half, and a
head in which that became grey matter would show what no person has."""

CSF_GAP_MM, SKULL_MM, SCALP_MM = 2.5, 6.5, 6.0
"""Thickness of the shells around the brain, inside out."""


@dataclass(frozen=True)
class Contrast:
    """Signal of each tissue, relative to the brightest, before bias field and noise; in [0, 1]."""

    csf: float
    grey: float
    white: float
    lesion: float
    marrow: float
    scalp: float


CONTRASTS: dict[MrSequence, Contrast] = {
    "T1w": Contrast(csf=0.18, grey=0.55, white=0.80, lesion=0.40, marrow=0.45, scalp=0.95),
    "T2w": Contrast(csf=1.00, grey=0.58, white=0.40, lesion=0.82, marrow=0.25, scalp=0.55),
    "FLAIR": Contrast(csf=0.14, grey=0.58, white=0.47, lesion=0.88, marrow=0.22, scalp=0.60),
}


def grid_points(affine: Affine, shape: tuple[int, ...]) -> Float32:
    """Return where the voxels of a grid lie in mm, (3, I, J, K)."""
    matrix = affine.astype(np.float32)
    axes = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij", sparse=True)
    return np.stack(
        [sum(matrix[row, a] * axes[a] for a in range(3)) + matrix[row, 3] for row in range(3)]
    ).astype(np.float32)


def smooth_field(
    points: Float32, control_mm: float, deviation: float, rng: np.random.Generator
) -> Float32:
    """Return a smooth random field at (3, I, J, K) template points in mm.

    Cubic spline through draws from N(0, deviation) at points `control_mm` apart.
    """
    extent_mm = 420.0
    count = int(np.ceil(extent_mm / control_mm)) + 1
    control = rng.normal(0, deviation, (count, count, count))
    fine_mm = 6.0
    fine_count = int(extent_mm / fine_mm)
    fine = np.arange(fine_count) * fine_mm / control_mm
    dense = ndimage.map_coordinates(
        control, np.meshgrid(fine, fine, fine, indexing="ij"), order=3, mode="nearest"
    ).astype(np.float32)
    field: Float32 = ndimage.map_coordinates(
        dense, (points + extent_mm / 2) / fine_mm, order=1, mode="nearest"
    )
    return field


def sample_anatomy(points: Float32) -> tuple[Float32, Float32, Float32, Float32]:
    """Return grey, white, CSF in [0, 1] and the distance outside the brain in mm, at the points."""
    from nilearn import datasets

    images = (
        datasets.load_mni152_gm_template(resolution=1),
        datasets.load_mni152_wm_template(resolution=1),
        datasets.load_mni152_brain_mask(resolution=1),
    )
    grey, white, mask = (np.asarray(image.dataobj, dtype=np.float32) for image in images)
    affine = np.asarray(images[2].affine, dtype=np.float64)
    margin = 24  # room for the head around the template's tight box
    grey, white, mask = (np.pad(data, margin) for data in (grey, white, mask))
    affine[:3, 3] -= margin * np.diag(affine)[:3]
    closed = ndimage.binary_closing(mask[::2, ::2, ::2] > 0.5, iterations=3)
    outside_mm = 2 * ndimage.gaussian_filter(ndimage.distance_transform_edt(~closed), 1)
    voxels = _to_voxels(points, affine)
    grey, white, mask = (_sample(data, voxels) for data in (grey, white, mask))
    weights = np.ones((3, *mask.shape), np.float32)
    weights[1] += (WHITE_OF_BRAINSTEM - 1) * _inside(points, BRAINSTEM_MM)
    tissue = _sharpen(np.stack([grey, white, np.clip(1 - grey - white, 0, 1)]) * mask, weights)
    voxels *= 0.5
    return tissue[0], tissue[1], tissue[2], _sample(outside_mm.astype(np.float32), voxels)


def _inside(points: Float32, box_mm: tuple[tuple[float, float], ...]) -> Float32:
    """Return 1 inside the box and 0 outside, with borders that are a few mm wide; (I, J, K)."""
    softness_mm = 1.0
    sides = [
        expit((axis - low) / softness_mm) * expit((high - axis) / softness_mm)
        for axis, (low, high) in zip(points, box_mm, strict=True)
    ]
    return np.asarray((sides[0] * sides[1] * sides[2]).astype(np.float32))


def _sharpen(tissue: Float32, weights: Float32) -> Float32:
    """Make population means look like one person: weigh, raise to the power 3, keep the sum."""
    power = (tissue * weights) ** 3
    return np.asarray(power * (tissue.sum(0) / np.maximum(power.sum(0), 1e-6)))


def _to_voxels(points: Float32, affine: Affine) -> Float32:
    """Map (3, I, J, K) points in mm to voxel indices of a grid."""
    inverse = voxel_to_voxel(np.eye(4), affine)
    voxels = np.tensordot(inverse[:3, :3], points, axes=1) + inverse[:3, 3][:, None, None, None]
    return voxels.astype(np.float32)


def _sample(data: Float32, voxels: Float32) -> Float32:
    """Interpolate linearly; beyond the border the nearest voxel."""
    return np.asarray(ndimage.map_coordinates(data, voxels, order=1, mode="nearest"))


def shells(outside_mm: Float32, contrast: Contrast) -> Float32:
    """Return the signal of CSF gap, skull (dark, marrow inside) and scalp by distance in mm."""
    skull, scalp = CSF_GAP_MM, CSF_GAP_MM + SKULL_MM
    end = scalp + SCALP_MM
    marrow, skin = contrast.marrow * 0.6, contrast.scalp * 0.5
    signal_at = {
        0.0: contrast.csf,
        skull: contrast.csf,
        skull + 0.6: 0.03,
        skull + 1.8: 0.03,
        skull + 2.6: marrow,
        scalp - 2.6: marrow,
        scalp - 1.8: 0.03,
        scalp - 0.6: 0.03,
        scalp: contrast.scalp,
        end - 1.5: contrast.scalp,
        end - 1.0: skin,
        end: 0.0,
    }
    depths, signals = list(signal_at), list(signal_at.values())
    return np.interp(outside_mm, depths, signals).astype(np.float32)
