"""Remove the slow brightness changes of the coil (N4 by niimath), and put them back.

Source: Tustison et al., N4ITK, IEEE TMI 29(6):1310-1320 (2010), doi:10.1109/TMI.2010.2046908.

Of a field's fine part only what both hemispheres show stays: coils mirror, tumours do not. N4 with
its usual four levels follows a large lesion and divides out half of its contrast; with two it
leaves half of a head coil's field in the scan. Head coils are nearly symmetric about the middle of
the head (in real heads the odd part of the field spreads a sixth as widely as the whole), large
lesions seldom are. So the fine part of the field counts at a place as far as the mirrored place
agrees. What is asymmetric and coarse is left to the two levels.

Source of that: ours; measured in benchmarks/results/bias_field.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from anatomaly.errors import PreparationError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.preprocess.background import MOST_SPREAD, background_value, find_usual_range
from anatomaly.preprocess.niimath import read_nifti, run_niimath, write_nifti
from anatomaly.preprocess.resample import empty_grid, resample, undo_resample
from anatomaly.temporary import temporary_folder
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Volume

SHRINK = 4
LEVELS = 4
"""Resolutions of the field, each twice as fine: 1, 2, 4, 8 spans along each side of the image."""
ITERATIONS = 50
"""At each level."""
BRAIN_ALONE_FROM = 0.7
"""Share of what lies on the background that a mask takes from which no head lies around it: about 1
in stripped brains, .4 and less in heads."""
ROOM_MM = 30.0
"""Put around a brain alone: what a head gives it. The spans of the field grow with the image, and
a field fitted within the brain's own box would be finer, and divide lesions out."""
FIELD_RANGE = (0.1, 10.0)
"""A field beyond this is no coil's; it is clipped there, so that the undo stays exact."""

COARSE_LEVELS = 2
STEP = 4
"""Grid on which the hemispheres are compared, in template voxels."""
SMOOTH_MM = 6.0
"""σ of the blur that rounds off where the hemispheres stop agreeing."""


@dataclass(frozen=True)
class BiasField:
    """The field that was divided out.

    Attributes:
        field: smooth and positive, geometric mean 1 inside the mask, on the volume's grid.
        offset: intensity that counts as 'no signal'; 0 except for z-scored scans.
        room_mm: empty space that was put around the image when the field was sought.
    """

    field: Volume
    offset: float
    room_mm: float = 0.0


def correct_bias_field(
    volume: Volume,
    brain_mask: Volume | None = None,
    levels: int = LEVELS,
    room_mm: float = 0.0,
) -> tuple[Volume, BiasField]:
    """Estimate the bias field with N4 and divide it out.

    Args:
        volume: finite, any unit.
        brain_mask: bool, same grid; the field is estimated inside it and applied everywhere.
            None takes all voxels above the darkest intensity.
        levels: resolutions of the field.
        room_mm: empty space put around the image, see `room_around`.

    Returns:
        float32, `(volume - offset) / field + offset`; and the record.

    Raises:
        PreparationError: niimath failed, or the mask is empty.
    """
    mask = volume.data > volume.data.min() if brain_mask is None else brain_mask.data
    if not mask.any():
        raise PreparationError("no voxel to estimate a bias field in; is the scan empty?")
    is_shifted = float(np.percentile(volume.data[mask], 2.0)) < 0.0  # a few are interpolation's
    offset = float(volume.data.min()) if is_shifted else 0.0
    signal = np.maximum(volume.data.astype(np.float32) - np.float32(offset), 0.0)
    scale = float(np.percentile(signal[mask], 99.0)) or 1.0
    shown = volume.with_data(signal * np.float32(1000.0 / scale))
    field = _run_n4(shown, volume.with_data(mask), levels, room_mm)
    if field.shape != volume.shape or not np.isfinite(field).all() or (field <= 0).any():
        raise PreparationError("the bias field is not positive everywhere; try --no-bias-field")
    field = field / np.exp(np.log(field[mask]).mean(dtype=np.float64))
    return divide_out(volume, BiasField(volume.with_data(field), offset, room_mm))


def divide_out(volume: Volume, record: BiasField) -> tuple[Volume, BiasField]:
    """Clip a field to `FIELD_RANGE` and divide it out.

    Returns:
        float32, `(volume - offset) / field + offset`; and the record with the clipped field.
    """
    field, offset = np.clip(record.field.data, *FIELD_RANGE).astype(np.float32), record.offset
    corrected = (volume.data.astype(np.float32) - np.float32(offset)) / field + np.float32(offset)
    return volume.with_data(corrected), replace(record, field=volume.with_data(field))


def undo_bias_field(volume: Volume, record: BiasField) -> Volume:
    """Multiply the field back in."""
    offset = np.float32(record.offset)
    return volume.with_data((volume.data - offset) * record.field.data + offset)


def mirror_bias_field(
    corrected: Volume, record: BiasField, brain_mask: Volume, scanner_to_template: Affine
) -> tuple[Volume, BiasField]:
    """Replace a fine field by the coarse one and what of the fine one is on both sides.

    log f = log coarse + agreement(log fine − log coarse), see `agreement`.

    Args:
        corrected: of `correct_bias_field`, any grid.
        record: of the same call.
        brain_mask: bool, same grid.
        scanner_to_template: (4, 4), scanner mm to template mm.

    Returns:
        float32, the scan corrected anew; and the record.

    Raises:
        PreparationError: niimath failed.
    """
    scan = undo_bias_field(corrected, record)
    coarse = correct_bias_field(scan, brain_mask, COARSE_LEVELS, record.room_mm)[1]
    difference = np.log(record.field.data) - np.log(coarse.field.data)
    difference -= difference[brain_mask.data].mean()
    laid = resample(scan.with_data(difference), _mirror_grid(), scanner_to_template)
    agreed = ndimage.gaussian_filter(agreement(laid.data, laid.data[::-1]), SMOOTH_MM / STEP)
    fine_part = undo_resample(laid.with_data(agreed), scan, scanner_to_template)
    field = coarse.field.data * np.exp(fine_part.data)
    return divide_out(scan, replace(record, field=scan.with_data(field)))


def agreement(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the smaller of two values where their signs agree, else 0 (minmod).

    >>> agreement(np.array([3.0, -1.0, 2.0]), np.array([2.0, -4.0, -2.0])).tolist()
    [2.0, -1.0, 0.0]
    """
    smaller = np.where(np.abs(one) < np.abs(other), one, other)
    return np.where(one * other > 0, smaller, 0).astype(one.dtype)


def room_around(volume: Volume, brain_mask: Volume) -> float:
    """Return how much room the field of a scan needs around it, mm: 0 for a head, 30 for a brain.

    Args:
        volume: cropped to its content.
        brain_mask: bool, same grid.
    """
    away = np.abs(volume.data - np.float32(background_value(volume.data)))
    there = np.count_nonzero(away > MOST_SPREAD * find_usual_range(volume.data).width)
    alone = np.count_nonzero(brain_mask.data) >= BRAIN_ALONE_FROM * there
    return ROOM_MM if alone else 0.0


def _run_n4(signal: Volume, mask: Volume, levels: int, room_mm: float) -> FloatArray:
    """Return the field that niimath finds, (I, J, K), with so much room around the image."""
    room = np.ceil(room_mm / signal.spacing_mm).astype(int)
    widths = [(int(width), int(width)) for width in room]
    affine = signal.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ room
    with temporary_folder() as folder:
        for file, volume in (("scan.nii", signal), ("mask.nii", mask)):
            write_nifti(folder / file, Volume(np.pad(volume.data, widths), affine))
        iterations = "x".join([str(ITERATIONS)] * levels)
        options = ["-n4", "-shrink", str(SHRINK), "-iter", iterations]
        files = ["-mask", "mask.nii", "-field", "field.nii", "corrected.nii"]
        run_niimath(["scan.nii", *options, *files], folder)
        field = read_nifti(folder / "field.nii")
    inner = tuple(slice(a, n - b) for (a, b), n in zip(widths, field.shape, strict=True))
    return field[inner]


def _mirror_grid() -> Volume:
    """Cells of `STEP` template voxels; those left and right lie the same way about x = 0."""
    affine = TEMPLATE_AFFINE.copy()
    inset = (STEP - 1) / 2
    affine[:3, 3] += affine[:3, :3] @ [STEP / 2, inset, inset]
    affine[:3, :3] *= STEP
    return empty_grid([n // STEP for n in TEMPLATE_SHAPE], affine)
