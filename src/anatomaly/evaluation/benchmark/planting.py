"""Lesions planted into a healthy prepared image: size, contrast, place, shape and push are told.

For drawn brains and for healthy scans alike: the lesion takes its brightness from what surrounds it
and keeps the noise of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.errors import ConfigError
from anatomaly.evaluation.phantom_lesion import grow_lesion
from anatomaly.geometry import TEMPLATE_AFFINE, apply_affine, voxel_to_voxel
from anatomaly.method import LESION_SIGN
from anatomaly.training.synthesis.deform import Push, push_coordinates
from anatomaly.types import BoolArray, FloatArray, MrSequence
from anatomaly.volume import Volume

SMOOTH_VOXELS = 2.0
"""What is finer than this in the image counts as noise and shows inside a lesion too."""

MARGIN_VOXELS = 10
"""Beyond a lesion, more than the Gaussian of the noise reaches."""

DEEP_MM = 10.0
"""Where tissues are not known, lesions are centred this deep in the brain."""

PLACE_RADIUS_MM = 4.0
"""Of the ball in which a lesion that was told its place starts to grow."""


@dataclass(frozen=True)
class LesionRanges:
    """What lesions are drawn from; each pair is the lowest and the highest value.

    Attributes:
        count: lesions a scan, uniform over whole numbers.
        volume_ml: of each, uniform in its logarithm.
        contrast: difference to the surroundings, in units of the image (0 to 1), uniform; its
            sign is that of the sequence.
        push_mm: mass effect at the rim, uniform; 0 for none.
        place_mm: template position of the first lesion; None for anywhere in deep white matter.
    """

    count: tuple[int, int] = (1, 3)
    volume_ml: tuple[float, float] = (0.5, 10.0)
    contrast: tuple[float, float] = (0.15, 0.5)
    push_mm: tuple[float, float] = (0.0, 0.0)
    place_mm: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        limits = {"count": (1, 20), "volume_ml": (0.05, 60), "contrast": (0, 1), "push_mm": (0, 10)}
        for name, (least, most) in limits.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ConfigError(
                    f"lesions: {name} must be two rising values in [{least}, {most}], got "
                    f"[{low}, {high}]"
                )


class HealthyPerson(NamedTuple):
    """A healthy person on the working grid.

    Attributes:
        image: (160, 192, 160) float32 in [0, 1], 0 outside the brain.
        brain_mask: bool.
        white: share of white matter, where lesions are centred; None for the deep brain, where
            tissues are not known.
        name: who it is, where that is known; empty for somebody who was drawn.
    """

    image: FloatArray
    brain_mask: BoolArray
    white: FloatArray | None = None
    name: str = ""


class Planted(NamedTuple):
    """An image with lesions, and where they are.

    Attributes:
        image: (160, 192, 160) float32 in [0, 1].
        lesion: bool, where a lesion makes up at least half of the voxel.
    """

    image: NDArray[np.float32]
    lesion: BoolArray


def plant_lesions(
    person: HealthyPerson,
    sequence: MrSequence,
    ranges: LesionRanges,
    rng: np.random.Generator,
    shapes: Sequence[BoolArray] = (),
) -> Planted:
    """Plant lesions into the image of a healthy person.

    Args:
        person: on the working grid.
        sequence: sign of the contrast.
        ranges: what is drawn.
        rng: draws number, volume, contrast, push, centre, shape.
        shapes: cropped masks of real lesions, one of which is scaled to each volume; without any,
            irregular balls.

    Raises:
        ConfigError: a lesion does not fit.
    """
    out, brain = person.image.astype(np.float32), person.brain_mask
    lesion = np.zeros(brain.shape, dtype=np.bool_)
    places = deep_brain(brain) if person.white is None else person.white
    for number in range(int(rng.integers(ranges.count[0], ranges.count[1] + 1))):
        volume_ml = float(np.exp(rng.uniform(*np.log(ranges.volume_ml))))
        sign = 1.0 if LESION_SIGN[sequence] == "brighter" else -1.0
        contrast = sign * rng.uniform(*ranges.contrast)
        push_mm = rng.uniform(*ranges.push_mm)
        white = places
        if number == 0 and ranges.place_mm:
            white = _only_at(white.shape, ranges.place_mm)
        share = _grow(white, brain, volume_ml, rng)
        if shapes:
            share = _laid(shapes[int(rng.integers(len(shapes)))], share, volume_ml, rng) * brain
        if push_mm > 0:
            out, lesion = _pushed(out, brain, lesion, share, push_mm)
        out = _blend(out, brain, share, contrast)
        lesion |= share >= 0.5
    return Planted((np.clip(out, 0, 1) * brain).astype(np.float32), lesion & brain)


def deep_brain(brain_mask: BoolArray) -> NDArray[np.float32]:
    """Return 1 deeper than `DEEP_MM` below the surface of the brain, 0 elsewhere, (I, J, K)."""
    depth = ndimage.distance_transform_edt(brain_mask)
    return np.asarray(depth > DEEP_MM).astype(np.float32)


def _grow(
    white: FloatArray, brain: BoolArray, volume_ml: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    heights = TEMPLATE_AFFINE[2, 3] + np.arange(white.shape[2], dtype=np.float32)
    return grow_lesion(
        Volume(white, TEMPLATE_AFFINE),
        Volume(brain, TEMPLATE_AFFINE),
        np.broadcast_to(heights, white.shape),
        volume_ml,
        rng,
    )


def _only_at(shape: tuple[int, ...], place_mm: tuple[float, float, float]) -> NDArray[np.float32]:
    """Return white matter in a small ball alone, so that a lesion grows there."""
    to_voxel = voxel_to_voxel(np.eye(4), TEMPLATE_AFFINE)
    centre = apply_affine(to_voxel, np.array(place_mm, dtype=np.float64))
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    away = sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))
    ball = np.asarray(away <= PLACE_RADIUS_MM**2).astype(np.float32)
    if not ball.any() or place_mm[2] <= 5:
        raise ConfigError(f"place_mm {place_mm} lies outside the cerebrum of the template (z > 5)")
    return ball


def _laid(
    shape: BoolArray, share: FloatArray, volume_ml: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Put a real shape, scaled to the volume and mirrored or not, where the grown one lies."""
    mask = shape[::-1] if rng.random() < 0.5 else shape
    scale = float((1000 * volume_ml / max(mask.sum(), 1)) ** (1 / 3))
    scaled = ndimage.zoom(np.pad(mask, 2).astype(np.float32), scale, order=1)
    centre = np.argwhere(share >= 0.5).mean(0).round().astype(int)
    out = np.zeros(share.shape, dtype=np.float32)
    start = centre - np.array(scaled.shape) // 2
    low, high = np.maximum(start, 0), np.minimum(start + scaled.shape, share.shape)
    into = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    of = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
    out[into] = scaled[of]
    return out


def _blend(
    image: FloatArray, brain: BoolArray, share: FloatArray, contrast: float
) -> NDArray[np.float32]:
    """Give the lesion the median of what surrounds it plus the contrast."""
    box = _box_of(share)
    near, inside = image[box], share[box]
    ring = ndimage.binary_dilation(inside > 0.05, iterations=3) & (inside < 0.05) & brain[box]
    around = float(np.median(near[ring])) if ring.any() else float(near[inside >= 0.5].mean())
    return lay_lesion(image, share, around + contrast)


def lay_lesion(image: FloatArray, share: FloatArray, value: float) -> NDArray[np.float32]:
    """Give the lesion a value, and half of the image's noise.

    Args:
        image: (I, J, K) in [0, 1].
        share: of the lesion in each voxel, in [0, 1], not 0 everywhere.
        value: of a voxel that is all lesion; clipped to [0, 1].
    """
    box = _box_of(share)
    near = image[box]
    noise = near - ndimage.gaussian_filter(near, SMOOTH_VOXELS)
    target = np.clip(value, 0.0, 1.0) + 0.5 * noise
    out = image.astype(np.float32)
    out[box] += share[box] * (target - near)
    return out


def _box_of(share: FloatArray) -> tuple[slice, ...]:
    """Return the box of a lesion, with a margin."""
    touched = ndimage.find_objects((share > 0).astype(np.uint8))[0]
    return tuple(slice(max(0, s.start - MARGIN_VOXELS), s.stop + MARGIN_VOXELS) for s in touched)


def _pushed(
    image: FloatArray, brain: BoolArray, lesion: BoolArray, share: FloatArray, push_mm: float
) -> tuple[NDArray[np.float32], BoolArray]:
    """Move what surrounds a lesion outwards, most at its rim; the brain keeps its outline."""
    centre = np.argwhere(share >= 0.5).mean(0)
    reach = max(float((3 * (share >= 0.5).sum() / (4 * np.pi)) ** (1 / 3)), 2 * push_mm)
    push = Push(torch.from_numpy(centre).float(), reach, push_mm)
    axes = [torch.arange(n, dtype=torch.float32) for n in image.shape]
    places = push_coordinates(torch.stack(torch.meshgrid(*axes, indexing="ij")), push).numpy()
    moved = ndimage.map_coordinates(image, places, order=1, mode="nearest")
    lesions = ndimage.map_coordinates(lesion.astype(np.float32), places, order=1) > 0.5
    return (moved * brain).astype(np.float32), lesions


def with_ranges(ranges: LesionRanges, values: dict[str, Any]) -> LesionRanges:
    """Return the ranges with values of a configuration file; lists become pairs.

    Raises:
        ConfigError: an unknown name, or a value out of its range.

    >>> with_ranges(LesionRanges(), {"volume_ml": [1, 2]}).volume_ml
    (1, 2)
    """
    try:
        return replace(ranges, **{name: tuple(value) for name, value in values.items()})
    except TypeError as error:
        known = ", ".join(LesionRanges.__dataclass_fields__)
        raise ConfigError(
            f"lesions: unknown or wrong entry ({error}); there are {known}"
        ) from error
