"""A phantom patient with a planted lesion of known place and volume, made from nilearn's priors.

The anatomy is the population mean of the ICBM 2009a grey and white matter maps, bent by a random
smooth deformation, so that no two seeds have the same brain; skull and scalp are plain shells
around it. A phantom shows that the whole chain works and that places and volumes come back right.
It says nothing about how well lesions of patients are found: real brains are not this smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anatomaly.errors import ConfigError
from anatomaly.evaluation.phantom_head import (
    CONTRASTS,
    Float32,
    grid_points,
    sample_anatomy,
    shells,
    smooth_field,
)
from anatomaly.evaluation.phantom_lesion import grow_lesion
from anatomaly.geometry import apply_affine
from anatomaly.types import SEQUENCES, Affine, MrSequence
from anatomaly.volume import Volume

SCANNER_UNITS = 800.0
"""What the brightest tissue measures."""


@dataclass(frozen=True)
class Acquisition:
    """Grid of a sequence: axis codes, voxel size in mm along them, field of view in mm."""

    axes: str
    spacing_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]


ACQUISITIONS: dict[MrSequence, Acquisition] = {
    "T1w": Acquisition("PSR", (1.0, 1.0, 1.2), (222.0, 208.0, 186.0)),
    "T2w": Acquisition("LPS", (0.9, 0.9, 2.0), (186.0, 222.0, 204.0)),
    "FLAIR": Acquisition("LAS", (1.0, 1.0, 1.5), (186.0, 222.0, 204.0)),
}


@dataclass(frozen=True)
class Phantom:
    """A phantom patient, every volume on the oblique anisotropic grid of its scan.

    Attributes:
        sequence: what the scan looks like.
        scan: float32 >= 0, arbitrary scanner units, with bias field and Rician noise.
        healthy: the same scan without the lesion (same noise and bias field).
        lesion_mask: bool, where the lesion makes up at least half of the voxel.
        brain_mask: bool, the brain that was drawn.
        lesion_centre_mm: centre of mass of `lesion_mask`, RAS+ mm of the scanner.
        lesion_volume_mm3: voxels of `lesion_mask` times the volume of a voxel.
    """

    sequence: MrSequence
    scan: Volume
    healthy: Volume
    lesion_mask: Volume
    brain_mask: Volume
    lesion_centre_mm: tuple[float, float, float]
    lesion_volume_mm3: float


def make_phantom(
    sequence: MrSequence,
    seed: int = 0,
    *,
    lesion_ml: float | None = None,
    with_skull: bool = True,
    noise: float = 0.02,
    coarseness: float = 1.0,
) -> Phantom:
    """Build a phantom patient; the same arguments give the same voxels.

    Distributions: head rotation N(0, 4°) and shift N(0, 4 mm) per axis, size N(1/1.06, 0.03),
    displacement N(0, 2 mm) at control points 32 mm apart, log bias field N(0, 0.15) at control
    points 80 mm apart, lesion volume U(4, 12) mL, its centre uniform over deep cerebral white
    matter, tissue texture 2 % at 2 mm.

    Args:
        sequence: T1w (lesion dark), T2w or FLAIR (lesion bright).
        seed: at least 0; decides everything that is random.
        lesion_ml: volume of the lesion, 0.1 to 30 mL; drawn if None.
        with_skull: add CSF gap, skull and scalp, so that the brain has to be extracted.
        noise: standard deviation of the Rician noise relative to the brightest tissue, in [0, 0.2].
        coarseness: multiplies the voxel size of `ACQUISITIONS`, 0.5 to 4.

    Raises:
        ConfigError: an argument is out of its range.
    """
    _check_arguments(sequence, seed, lesion_ml, noise, coarseness)
    rng = np.random.default_rng([seed, SEQUENCES.index(sequence)])
    contrast = CONTRASTS[sequence]
    grid, shape = _draw_grid(ACQUISITIONS[sequence], coarseness, rng)
    points = _template_points(grid, shape, rng)
    grey, white, csf, shell_mm = sample_anatomy(points)
    brain = grey + white + csf >= 0.5
    volume_ml = float(rng.uniform(4, 12)) if lesion_ml is None else lesion_ml
    lesion = grow_lesion(
        Volume(white, grid), Volume(grey + white > 0.5, grid), points[2], volume_ml, rng
    )
    texture = 1 + 0.02 * _unit_noise(shape, rng, 2.0 / np.linalg.norm(grid[:3, :3], axis=0))
    healthy = (csf * contrast.csf + grey * contrast.grey + white * contrast.white) * texture
    patient = healthy * (1 - lesion) + lesion * contrast.lesion * texture
    if with_skull:
        around = shells(shell_mm, contrast) * (1 - np.clip(grey + white + csf, 0, 1))
        healthy, patient = healthy + around, patient + around
    bias = np.exp(smooth_field(points, 80.0, 0.15, rng))
    noises = rng.normal(0, noise, (2, *shape)).astype(np.float32)
    lesion_mask = lesion >= 0.5
    centre = apply_affine(grid, np.argwhere(lesion_mask).mean(0))
    return Phantom(
        sequence=sequence,
        scan=Volume(_receive(patient * bias, noises, with_skull | brain), grid),
        healthy=Volume(_receive(healthy * bias, noises, with_skull | brain), grid),
        lesion_mask=Volume(lesion_mask, grid),
        brain_mask=Volume(brain, grid),
        lesion_centre_mm=(float(centre[0]), float(centre[1]), float(centre[2])),
        lesion_volume_mm3=float(lesion_mask.sum()) * Volume(lesion_mask, grid).voxel_volume_mm3,
    )


def _check_arguments(
    sequence: MrSequence, seed: int, lesion_ml: float | None, noise: float, coarseness: float
) -> None:
    """Refuse arguments out of the ranges of `make_phantom`."""
    if sequence not in SEQUENCES:
        raise ConfigError(f"sequence must be one of {', '.join(SEQUENCES)}, got {sequence}")
    if seed < 0:
        raise ConfigError(f"seed must be at least 0, got {seed}")
    for name, value, low, high in (
        ("lesion_ml", lesion_ml, 0.1, 30),
        ("noise", noise, 0, 0.2),
        ("coarseness", coarseness, 0.5, 4),
    ):
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{name} must lie in [{low}, {high}], got {value}")


def _draw_grid(
    acquisition: Acquisition, coarseness: float, rng: np.random.Generator
) -> tuple[Affine, tuple[int, int, int]]:
    """Return the affine and shape of a slightly oblique grid with its origin off zero."""
    directions = {"R": (1, 0, 0), "A": (0, 1, 0), "S": (0, 0, 1)}
    directions |= {"L": (-1, 0, 0), "P": (0, -1, 0), "I": (0, 0, -1)}
    axes = np.array([directions[code] for code in acquisition.axes], dtype=np.float64).T
    oblique = Rotation.from_euler("xyz", rng.normal(0, 4, 3), degrees=True).as_matrix()
    spacing = np.array(acquisition.spacing_mm) * coarseness
    shape = np.round(np.array(acquisition.extent_mm) / spacing).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = oblique @ axes * spacing
    centre_mm = np.array([0.0, -17.0, 8.0]) + rng.normal(0, 3, 3)  # middle of the template's head
    affine[:3, 3] = centre_mm - affine[:3, :3] @ ((shape - 1) / 2)
    i, j, k = shape.tolist()
    return affine, (i, j, k)


def _template_points(
    grid: Affine, shape: tuple[int, int, int], rng: np.random.Generator
) -> Float32:
    """Return (3, I, J, K): the template position in mm that each voxel of the scan shows."""
    pose = np.eye(4)
    turn = Rotation.from_euler("xyz", rng.normal(0, 4, 3), degrees=True).as_matrix()
    pose[:3, :3] = turn @ np.diag(rng.normal(1.06, 0.03, 3))
    pose[:3, 3] = rng.normal(0, 4, 3)
    points = grid_points(pose @ grid, shape)
    bend = np.stack([smooth_field(points, 32.0, 2.0, rng) for _ in range(3)])
    return points + bend


def _unit_noise(shape: tuple[int, ...], rng: np.random.Generator, sigma: Any) -> Float32:
    """Return smooth noise of unit standard deviation; sigma in voxels."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), sigma)
    return np.asarray(noise / noise.std())


def _receive(signal: NDArray[Any], noises: Float32, kept: NDArray[np.bool_]) -> Float32:
    """Return the magnitude image (Rician noise) in scanner units, 0 where not kept."""
    magnitude = SCANNER_UNITS * np.hypot(signal + noises[0], noises[1])
    return np.where(kept, magnitude, 0).astype(np.float32)
