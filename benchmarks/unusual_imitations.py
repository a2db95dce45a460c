"""Imitations of what is no adult's structural scan, made from healthy T1w heads with parcellation.

What each leaves out of reality stands in its docstring. They set limits and count what is seen;
they do not show what a scanner does to a person.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from anatomaly.geometry import apply_affine
from anatomaly.preprocess.coarse_head import CoarseHead, load_tissue_regions
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Volume

FLUID = (1, 4, 11, 46, 49, 50, 51, 52)
"""MUSE numbers of sulcal and ventricular CSF."""
WHITE = (40, 41, 61, 62, *range(81, 96))
"""MUSE numbers of white matter."""

SINUS_MM = ((0.0, 38.0, -24.0, 17.0), (46.0, -18.0, -32.0, 13.0), (-46.0, -18.0, -32.0, 13.0))
"""Air above which an echo-planar image is distorted: template x, y, z and σ, mm."""

AGE_MONTHS = (0.0, 6.0, 12.0, 24.0)
BRAIN_ML = (450.0, 750.0, 900.0, 1080.0)
"""Brain with CSF at these ages."""


@dataclass(frozen=True)
class Person:
    """A healthy head: T1w and MUSE labels on one grid along RAS+, and the way to the template."""

    t1w: Volume
    labels: FloatArray
    scanner_to_template: Affine

    def places_mm(self) -> FloatArray:
        """Return the template mm of each voxel, (3, I, J, K)."""
        voxels = np.indices(self.t1w.shape, dtype=float).reshape(3, -1).T
        places = apply_affine(self.scanner_to_template @ self.t1w.affine, voxels)
        return places.T.reshape(3, *self.t1w.shape)

    def tissue_medians(self) -> tuple[float, float, float]:
        """Return the median T1w signal of CSF, grey and white matter."""
        fluid, white = np.isin(self.labels, FLUID), np.isin(self.labels, WHITE)
        grey = (self.labels > 0) & ~fluid & ~white
        found = [float(np.median(self.t1w.data[one])) for one in (fluid, grey, white)]
        return found[0], found[1], found[2]


def draw_echo_planar(person: Person, rng: np.random.Generator, stripped: bool) -> Volume:
    """Draw a spin-echo echo-planar image without diffusion weighting (b0), T2-weighted.

    CSF U(2.3, 3.4) and grey matter U(1.15, 1.45) times white matter; shifts of U(7, 14) mm along y
    above the sinuses and ear canals, either way, with the pile-up that they bring; signal lost
    there by U(.3, .8); scalp U(.02, .07) of its T1w signal; ghost U(.02, .06), noise U(.02, .05).
    Left out: vitreous bodies, fat that is shifted, eddy currents, motion.
    """
    fluid, grey, white = person.tissue_medians()
    levels = (rng.uniform(2.3, 3.4), rng.uniform(1.15, 1.45), 1.0)
    brain = ndimage.binary_fill_holes(person.labels > 0)
    rim = ndimage.binary_dilation(brain) & ~brain
    knots = (0.5 * fluid, fluid, grey, white, 1.3 * white)
    image = np.interp(person.t1w.data, knots, (1.1 * levels[0], *levels, 0.95))
    image = np.where(brain, image, np.where(rim, levels[0] * rng.uniform(0.5, 1.0), 0.0))
    if not stripped:
        scalp = np.clip(person.t1w.data / white, 0, 2) * rng.uniform(0.02, 0.07)
        image += np.where(brain | rim, 0.0, scalp)
    shift_mm, kept = _susceptibility(person, rng)
    shift = shift_mm / abs(person.t1w.affine[1, 1])
    voxels = np.indices(image.shape).astype(float)
    voxels[1] += shift
    image = ndimage.map_coordinates(image * kept, voxels, order=1)
    image = image * np.clip(1 + np.gradient(shift, axis=1), 0.2, 3)
    image = ndimage.gaussian_filter(image, (0.4, 0.7, 0.4))
    ghost = rng.uniform(0.02, 0.06) * (not stripped)
    image = image + ghost * np.roll(image, image.shape[1] // 2, axis=1)
    deviation = rng.uniform(0.02, 0.05)
    real, imaginary = (rng.normal(0, deviation, image.shape) for _ in range(2))
    image = np.hypot(image + real, imaginary)
    if stripped:
        inside = ndimage.map_coordinates((brain | rim).astype(float), voxels, order=1) > 0.5
        image = np.where(inside, image, 0)
    return person.t1w.with_data((300 * image).astype(np.float32))


def draw_infant(person: Person, months: float, rng: np.random.Generator, stripped: bool) -> Volume:
    """Draw the T1w head of an infant.

    The head shrunk to the brain volume of the age (times U(.94, 1.06)); skull and scalp thinned by
    U(1.5, 2.1) more; white matter darkened towards grey, most near the cortex and in the frontal
    and temporal lobes, by 1.5 of the contrast at 3 months and .45 at 24; grey matter brighter
    below 8 months. Left out: the proportions of cerebellum and face, the open fontanelle.
    """
    image = person.t1w.data.copy()
    _, grey, white = person.tissue_medians()
    places = person.places_mm()
    white_matter = np.isin(person.labels, WHITE)
    brain = ndimage.binary_fill_holes(person.labels > 0)
    depth_mm = ndimage.distance_transform_edt(white_matter) * person.t1w.spacing_mm[0]
    near_cortex = 1 / (1 + np.exp((depth_mm - 5) / 1.5))
    frontal = 1 / (1 + np.exp(-(places[1] - 15) / 12))
    temporal = 1 / (1 + np.exp((places[2] + 2) / 5)) * (np.abs(places[0]) > 28)
    weight = np.clip(0.1 + 0.45 * near_cortex + 0.35 * np.clip(frontal + temporal, 0, 1), 0, 1)
    lack = np.interp(months, (3, 9, 14, 20, 24), (1.5, 0.95, 0.7, 0.55, 0.45))
    image -= np.where(white_matter, lack * weight * (white - grey), 0)
    if months < 8:
        cortex = (person.labels > 0) & ~white_matter & ~np.isin(person.labels, FLUID)
        image += np.where(cortex, 0.2 * (white - grey), 0)
    image = np.where(brain, ndimage.gaussian_filter(image, 0.3), person.t1w.data)
    volume_ml = brain.sum() * person.t1w.voxel_volume_mm3 / 1000
    wanted_ml = float(np.interp(months, AGE_MONTHS, BRAIN_ML)) * rng.uniform(0.94, 1.06)
    nearest = ndimage.distance_transform_edt(~brain, return_distances=False, return_indices=True)
    voxels = np.indices(image.shape)
    thinned = np.where(brain, voxels, nearest + (voxels - nearest) * rng.uniform(1.5, 2.1))
    image = ndimage.map_coordinates(image, thinned, order=1)
    if stripped:
        image = np.where(ndimage.binary_dilation(brain), image, 0)
    image = np.abs(image + rng.normal(0, 0.02 * white, image.shape) * (image > 0))
    affine = person.t1w.affine.copy()
    affine[:3, :3] *= (wanted_ml / volume_ml) ** (1 / 3)
    return Volume(image.astype(np.float32), affine)


def paint_veins(head: CoarseHead, times_white: float) -> CoarseHead:
    """Brighten straight sinus, great vein and the veins of both sulcal surfaces of a T1w head.

    Args:
        head: healthy, T1w.
        times_white: their signal above CSF over that of white matter.
    """
    regions = load_tissue_regions()
    fluid, _, white = (float(np.median(head.image[head.brain_mask & r])) for r in regions[:3])
    x, y, z = regions.places_mm
    course = z - (6.0 + 0.22 * (y + 42.0))  # down and back from the great vein
    tube = (np.abs(x) <= 2.5) & (y > -82) & (y < -40) & (np.abs(course) <= 2.5)
    sagittal = (np.abs(x) <= 3) & head.brain_mask & ~ndimage.binary_erosion(head.brain_mask)
    image = head.image.copy()
    image[tube | (sagittal & (z > 10))] = fluid + times_white * (white - fluid)
    return replace(head, image=image)


def _susceptibility(person: Person, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return the shift along y in mm above the sinuses, and the share of the signal kept there."""
    places = person.places_mm()
    strength = rng.choice([-1, 1]) * rng.uniform(7, 14)
    shift, kept = np.zeros(person.t1w.shape), np.ones(person.t1w.shape)
    for *centre, sigma in SINUS_MM:
        squared = sum((places[axis] - centre[axis]) ** 2 for axis in range(3))
        near = np.exp(-squared / (2 * sigma**2))
        shift += strength * (1.0 if sigma > 15 else 0.7) * near
        kept *= 1 - rng.uniform(0.3, 0.8) * np.clip(1.3 * near, 0, 1) ** 2
    return shift, kept
