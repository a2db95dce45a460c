"""Resample through affines: onto the working grid, back onto the scan's, onto any other grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, apply_affine, voxel_to_voxel
from anatomaly.types import Affine, BoolArray, FloatArray
from anatomaly.volume import Volume

ANTI_ALIAS_FROM = 1.5
"""Steps of the output grid, in voxels of the input, above which the input is smoothed first."""

_SLAB = 32
_MARGIN = 8
"""Steps of the coarser grid around what the output sees, for the smoothing."""

FWHM_TO_SIGMA = 1.0 / np.sqrt(8.0 * np.log(2.0))


def resample(volume: Volume, grid: Volume, world: Affine | None = None, order: int = 1) -> Volume:
    """Resample a volume onto the grid of another.

    A voxel has an extent: values reach half a voxel beyond the outermost centres, so the first
    and last of thick slices keep their full thickness. Farther out the result is 0.

    Args:
        volume: any dtype; a mask is best resampled with order 0, or as float with order 1.
        grid: only its shape and affine are used.
        world: (4, 4) mm of `volume` to mm of `grid`; None where both share one space.
        order: 0 nearest (keeps labels and dtype), 1 linear (float32 out).

    Returns:
        (I, J, K) of `grid`.

    Source: the smoothing before a coarser grid matches the FWHM of the voxels; Cardoso et al.,
        MICCAI 2015, doi:10.1007/978-3-319-24571-3_81 (here per axis of the input).
    """
    return next(resample_each(volume, grid, [world], order))


def resample_each(
    volume: Volume, grid: Volume, worlds: Iterable[Affine | None], order: int = 1
) -> Iterator[Volume]:
    """Resample a volume under several affines, see `resample`; equal smoothing is done once."""
    data = volume.data if order == 0 else volume.data.astype(np.float32, copy=False)
    smoothed: dict[object, FloatArray] = {}
    for world in worlds:
        to_input = voxel_to_voxel(
            grid.affine, volume.affine, None if world is None else _inverse(world)
        )
        box = _box_of_input(to_input, grid.shape, volume.shape)
        if box is None:
            yield Volume(np.zeros(grid.shape, dtype=data.dtype), grid.affine.copy())
            continue
        sigma = _sigma_for(to_input) if order > 0 else (0.0, 0.0, 0.0)
        key = tuple((part.start, part.stop) for part in box), tuple(np.round(sigma, 6))
        if key not in smoothed:
            smoothed[key] = _smooth(data[box], sigma)
        to_input[:3, 3] -= [part.start for part in box]
        out = np.zeros(grid.shape, dtype=data.dtype)
        seen = _box_of_output(smoothed[key], to_input, grid.shape)
        if seen is not None:
            to_input[:3, 3] = apply_affine(to_input, np.array([float(p.start) for p in seen]))
            out[seen] = _sample(smoothed[key], to_input, out[seen].shape, order)
        yield Volume(out, grid.affine.copy())


def _sample(
    source: FloatArray, to_input: Affine, shape: tuple[int, ...], order: int
) -> NDArray[Any]:
    """Sample an array at the voxels of a grid of some shape, 0 outside its field of view."""
    source = source.astype(np.uint8) if source.dtype == np.bool_ else source
    out = ndimage.affine_transform(
        source, to_input[:3, :3], to_input[:3, 3], shape, order=order, mode="nearest"
    )
    out[~field_of_view(to_input, source.shape, shape, slack=1e-4)] = 0
    return np.asarray(out)


def _box_of_output(
    source: FloatArray, to_input: Affine, shape: tuple[int, ...]
) -> tuple[slice, ...] | None:
    """Return the part of the output that sees a voxel other than 0, None if nothing does.

    Most of a map is 0 and most of a scan's grid is not brain.
    """
    low, high = np.zeros(3), np.zeros(3)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        there = np.flatnonzero(source.any(axis=others))
        if not there.size:
            return None
        low[axis], high[axis] = there[0] - 1.0, there[-1] + 1.0
    corners = np.array(list(product(*zip(low, high, strict=True))))
    places = apply_affine(np.linalg.inv(to_input).astype(np.float64), corners)
    first = np.clip(np.floor(places.min(axis=0)).astype(int), 0, shape)
    last = np.clip(np.ceil(places.max(axis=0)).astype(int) + 1, 0, shape)
    return None if (last <= first).any() else tuple(map(slice, first, last))


def resample_mask(mask: Volume, grid: Volume, world: Affine | None = None) -> BoolArray:
    """Resample a mask linearly onto the grid of another volume; inside is what holds over half.

    Args:
        mask: bool, or float32 from 0 to 1.
        grid: only its shape and affine are used.
        world: (4, 4) mm of `mask` to mm of `grid`; None where both share one space.

    Returns:
        (I, J, K) bool.
    """
    return np.asarray(resample(mask, grid, world).data > 0.5)


def template_grid() -> Volume:
    """Return an empty volume (no memory) on the working grid."""
    return empty_grid(TEMPLATE_SHAPE, TEMPLATE_AFFINE)


def empty_grid(shape: Sequence[int], affine: Affine) -> Volume:
    """Return a volume of zeros that takes no memory: a grid to resample onto."""
    return Volume(np.broadcast_to(np.uint8(0), tuple(shape)), affine.copy())


def resample_to_template(volume: Volume, scanner_to_template: Affine, order: int = 1) -> Volume:
    """Resample a volume in scanner space onto the working grid (160, 192, 160) at 1 mm.

    Args:
        volume: in scanner mm.
        scanner_to_template: (4, 4), scanner mm to template mm.
        order: 0 for labels, 1 for intensities (float32 out).
    """
    return resample(volume, template_grid(), scanner_to_template, order)


def undo_resample(
    volume_template: Volume, grid: Volume, scanner_to_template: Affine, order: int = 1
) -> Volume:
    """Resample a volume in template space back onto a grid in scanner space.

    Outside the working grid the result is 0.
    """
    return resample(volume_template, grid, _inverse(scanner_to_template), order)


def _inverse(affine: Affine) -> Affine:
    """Return the inverse with an exact last row."""
    out = np.linalg.inv(affine)
    out[3] = (0.0, 0.0, 0.0, 1.0)
    return np.asarray(out, dtype=np.float64)


def _sigma_for(to_input: Affine) -> FloatArray:
    """Return σ along the input axes, above 0 where the output grid has steps above 1.5 voxels."""
    step = np.linalg.norm(to_input[:3, :3], axis=1)
    wide = np.sqrt(np.maximum(step**2 - 1, 0)) * FWHM_TO_SIGMA
    return np.where(step > ANTI_ALIAS_FROM, wide, 0.0)


def _smooth(data: FloatArray, sigma: Sequence[float] | FloatArray) -> FloatArray:
    """Smooth by a Gaussian."""
    if not np.any(sigma):
        return data
    smooth: FloatArray = ndimage.gaussian_filter(data, sigma, mode="nearest", truncate=3.0)
    return smooth


def _box_of_input(
    to_input: Affine, out_shape: tuple[int, ...], in_shape: tuple[int, ...]
) -> tuple[slice, ...] | None:
    """Return the part of the input that the output grid can see, None if it sees nothing."""
    corners = np.array(list(product(*((0, size) for size in out_shape))))
    places = apply_affine(to_input, corners - 0.5)
    margin = _MARGIN * np.maximum(np.linalg.norm(to_input[:3, :3], axis=1), 1)
    low = np.clip(np.floor(places.min(axis=0) - margin).astype(int), 0, in_shape)
    high = np.clip(np.ceil(places.max(axis=0) + margin).astype(int) + 1, 0, in_shape)
    return None if (high <= low).any() else tuple(map(slice, low, high))


def field_of_view(
    to_input: Affine, in_shape: tuple[int, ...], out_shape: tuple[int, ...], slack: float = 0.0
) -> BoolArray:
    """Return which output voxels lie inside the input's field of view, half voxels included.

    Args:
        to_input: (4, 4), voxel indices of the output to those of the input.
        in_shape: (I, J, K).
        out_shape: (I, J, K).
        slack: how far beyond still counts, input voxels.
    """
    inside = np.ones(out_shape, dtype=bool)
    axes = [np.arange(size, dtype=np.float32) for size in out_shape]
    for row, size in zip(to_input[:3], in_shape, strict=True):
        along_i = (row[0] * axes[0])[:, None, None]
        along_j = (row[1] * axes[1])[None, :, None]
        along_k = (row[2] * axes[2] + row[3])[None, None, :]
        for start in range(0, out_shape[0], _SLAB):  # the places of all voxels at once are large
            slab = slice(start, start + _SLAB)
            place = along_i[slab] + along_j + along_k
            inside[slab] &= (place >= -0.5 - slack) & (place <= size - 0.5 + slack)
    return inside
