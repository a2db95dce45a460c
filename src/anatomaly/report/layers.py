"""The volumes inside the page: cropped to the brain, 8 bits a voxel, all on one grid."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.affines import from_matvec
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.geometry import spacing_mm
from anatomaly.report.drawing import grey_window
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Volume

UInt8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
Box = tuple[slice, slice, slice]

MAX_VOXELS = 5_200_000
"""Of the page's grid: a large brain at 1 mm with its margin. More are made coarser."""

MARGIN_MM = 5.0
"""Of the scan around the brain: enough of the skull to judge the brain extraction by."""

COARSE_OUTSIDE, COARSE_STRUCTURE = 0xF8, 0xFC
"""Bits kept of the scan outside the brain and of the structural term: noise does not compress."""

LABELS = frozenset({"tissue_map", "edges", "brain_mask", "template", "hand_mask"})
"""Layers whose values are names: never averaged."""


@dataclass(frozen=True)
class PageVolumes:
    """What a page can show, on the scan's own grid; None leaves a layer out.

    Attributes:
        brain_mask: above zero inside; it decides what is cropped.
        scan: scanner units.
        pseudo_healthy: the same units.
        tissue_map: 0 background, 1 CSF, 2 grey matter, 3 white matter.
        edges: above zero at an edge of the tissue map.
        structure: structural term of the score, 1 − SSIM, in [0, 1].
        anomaly_map: in [0, 1], 0 outside the scored brain.
        template: the template's tissues where the registration puts them, coded as `tissue_map`.
        hand_mask: above zero where a person who corrected the mask left it.
    """

    brain_mask: Volume
    scan: Volume | None = None
    pseudo_healthy: Volume | None = None
    tissue_map: Volume | None = None
    edges: Volume | None = None
    structure: Volume | None = None
    anomaly_map: Volume | None = None
    template: Volume | None = None
    hand_mask: Volume | None = None


@dataclass(frozen=True)
class Layers:
    """Volumes of one grid, closest to RAS+.

    Attributes:
        arrays: by the names of `PageVolumes`, (I, J, K) uint8. `scan` and `pseudo_healthy` share
            one grey window; `structure` is 252 at 1; `anomaly_map` times `map_step` is the score.
        affine: (4, 4), voxel indices to scanner mm.
        map_step: score of one step of `anomaly_map`.
        voxel_mm3: volume of a voxel.
        is_exact: every voxel of the scan is there, so volumes are those of the scan's own grid.
    """

    arrays: Mapping[str, UInt8]
    affine: Affine
    map_step: float
    voxel_mm3: float
    is_exact: bool

    @property
    def spacing_mm(self) -> FloatArray:
        """Voxel size along i, j, k in mm, shape (3,)."""
        return spacing_mm(self.affine)


def make_layers(
    volumes: PageVolumes, threshold: float, grow_share: float = 1.0, max_voxels: int = MAX_VOXELS
) -> Layers:
    """Turn, crop, coarsen where it must be, and quantise.

    Args:
        volumes: of one grid.
        threshold: of the mask; a voxel passes it in the quantised map exactly if it does in the
            map itself (where the grid is not made coarser).
        grow_share: of the mask; the same holds for this share of the threshold.
        max_voxels: of the page's grid.
    """
    brain = volumes.brain_mask
    orientation = io_orientation(brain.affine)
    turned = apply_orientation(brain.data > 0, orientation)
    affine = brain.affine @ inv_ornt_aff(orientation, brain.shape)
    box = _box_around(turned, spacing_mm(affine))
    affine = affine @ from_matvec(np.eye(3), [part.start for part in box])
    step = _steps(turned[box].shape, spacing_mm(affine), max_voxels)
    cut: dict[str, Float32] = {}
    for name, volume in vars(volumes).items():
        if volume is not None:
            data = apply_orientation(volume.data, orientation)[box].astype(np.float32)
            cut[name] = _coarsen(data, step, order=0 if name in LABELS else 1)
    arrays, map_step = _quantise(cut, threshold, grow_share)
    affine = affine @ from_matvec(np.diag(step), (step - 1) / 2)
    voxel_mm3 = brain.voxel_volume_mm3 * float(np.prod(step))
    return Layers(arrays, affine, map_step, voxel_mm3, is_exact=bool((step == 1).all()))


MOST_PARTS = 20
"""Shares of the threshold are taken for whole parts of so many at most."""


def quantise_map(
    anomaly_map: Float32, threshold: float, grow_share: float = 1.0
) -> tuple[UInt8, float]:
    """Return the map in 255 steps, and the score of a step; the threshold lies between two steps.

    Args:
        anomaly_map: any shape, in [0, 1].
        threshold: in [0, 1]; `score > threshold` exactly where `step · value > threshold`.
        grow_share: the same holds for this share of the threshold, in (0, 1].

    >>> steps, step = quantise_map(np.float32([0.0, 0.5, 0.500001, 1.0]), 0.5)
    >>> (steps > steps_up_to(0.5, step)).tolist()
    [False, False, True, True]
    """
    top = min(1.0, max(float(anomaly_map.max(initial=0)), 1.5 * threshold, 1e-6))
    below = steps_up_to(threshold, top / 255)
    whole = Fraction(grow_share).limit_denominator(MOST_PARTS).denominator
    below -= below % whole if below > whole else 0  # so that the share is a whole step too
    step = threshold / below if below else top / 255
    steps = np.ceil(np.clip(anomaly_map, 0, top) / step).clip(0, 255)
    for cut in (grow_share * threshold, threshold):
        last = steps_up_to(cut, step)
        passes = anomaly_map > cut
        steps = np.where(passes, np.maximum(steps, last + 1), np.minimum(steps, last))
    return steps.clip(0, 255).astype(np.uint8), step


def steps_up_to(threshold: float, step: float) -> int:
    """Return the last step of a quantised map that is not above the threshold.

    Whole where the threshold lies on a step, but for rounding; 0 where it lies below the first.

    >>> steps_up_to(0.5, 0.1), steps_up_to(0.0999, 0.1)
    (5, 0)
    """
    return int(threshold / step + 1e-6)


def encode_layer(array: UInt8, affine: Affine) -> str:
    """Return an array as base64 of a gzip-compressed NIfTI file."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm", "sec")
    return base64.b64encode(igzip.compress(image.to_bytes(), 2, mtime=0)).decode()


def decode_layer(text: str) -> tuple[UInt8, Affine]:
    """Undo `encode_layer`."""
    image = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))
    return np.asarray(image.dataobj, dtype=np.uint8), image.affine


def read_layers(page: str) -> dict[str, tuple[UInt8, Affine]]:
    """Return the layers inside a page, by name; none if there are none."""
    found = re.finditer(r'<script type="text/plain" id="layer-(\w+)">([A-Za-z0-9+/=]*)<', page)
    return {match[1]: decode_layer(match[2]) for match in found}


def layer_on(array: NDArray[Any], affine: Affine, grid: Volume) -> Volume:
    """Bring an array of one grid onto another, the nearest voxel for each; 0 outside.

    Args:
        array: (I, J, K).
        affine: its own, voxel indices to mm.
        grid: that it is brought to.
    """
    matrix = np.linalg.inv(affine) @ grid.affine
    data = ndimage.affine_transform(
        array, matrix[:3, :3], matrix[:3, 3], grid.shape, order=0, mode="constant"
    )
    return grid.with_data(data)


def _quantise(
    cut: Mapping[str, Float32], threshold: float, grow_share: float
) -> tuple[dict[str, UInt8], float]:
    """Return every array in 8 bits, and the score of a step of the map."""
    brain = cut["brain_mask"] > 0
    low, high = 0.0, 1.0
    if "scan" in cut:
        low, high = grey_window(cut["scan"][brain] if brain.any() else cut["scan"])
    arrays, map_step = {}, 1.0 / 255
    for name, data in cut.items():
        if name == "anomaly_map":
            arrays[name], map_step = quantise_map(data, threshold, grow_share)
        elif name in LABELS:
            arrays[name] = (data > 0 if name == "hand_mask" else data).astype(np.uint8)
        elif name == "structure":
            steps = np.rint(data.clip(0, 1) * 255 * brain).astype(np.uint8)
            arrays[name] = steps & COARSE_STRUCTURE
        else:
            grey = np.rint(((data - low) / (high - low)).clip(0, 1) * 255).astype(np.uint8)
            outside = np.uint8(0) if name == "pseudo_healthy" else grey & COARSE_OUTSIDE
            arrays[name] = np.where(brain, grey, outside).astype(np.uint8)
    return arrays, map_step


def _box_around(brain: NDArray[np.bool_], voxel_mm: FloatArray) -> Box:
    """Return the range of each axis that holds the brain and a margin; everything without one."""
    boxes = ndimage.find_objects(brain.astype(np.uint8)) or [
        tuple(slice(0, n) for n in brain.shape)
    ]
    margins = np.ceil(MARGIN_MM / voxel_mm).astype(int).tolist()
    parts = zip(boxes[0], margins, brain.shape, strict=True)
    x, y, z = (slice(max(0, p.start - m), min(n, p.stop + m)) for p, m, n in parts)
    return x, y, z


def _steps(shape: tuple[int, ...], voxel_mm: FloatArray, max_voxels: int) -> FloatArray:
    """Return how many voxels of the scan one of the page spans along each axis, at least 1."""
    wanted, step = float(voxel_mm.min()), np.ones(3)
    while np.prod(np.floor(np.array(shape) / step)) > max_voxels:
        wanted *= 1.03
        step = np.maximum(1.0, wanted / voxel_mm)
    return step


def _coarsen(data: Float32, step: FloatArray, order: int) -> Float32:
    """Return an array on a grid of so many voxels a step; labels are picked, values averaged."""
    if (step == 1).all():
        return data
    shape = np.maximum(1, np.floor(np.array(data.shape) / step)).astype(int)
    if order:
        data = ndimage.gaussian_filter(data, np.where(step > 1.2, 0.4 * step, 0), truncate=2)
    out: Float32 = ndimage.affine_transform(
        data, step, (step - 1) / 2, tuple(shape.tolist()), order=order, mode="nearest"
    )
    return out
