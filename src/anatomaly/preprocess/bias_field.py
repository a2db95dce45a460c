"""Remove the slow brightness changes of the coil (N4 by niimath), and put them back.

Source: Tustison et al., N4ITK, IEEE TMI 29(6):1310-1320 (2010), doi:10.1109/TMI.2010.2046908.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anatomaly.errors import PreparationError
from anatomaly.preprocess.niimath import read_nifti, run_niimath, write_nifti
from anatomaly.temporary import temporary_folder
from anatomaly.types import BoolArray
from anatomaly.volume import Volume

SHRINK = 4
LEVELS = 4
"""Resolutions of the field, each twice as fine: 1, 2, 4, 8 spans along each side of the image."""
ITERATIONS = 50
"""At each level."""
FIELD_RANGE = (0.1, 10.0)
"""A field beyond this is no coil's; it is clipped there, so that the undo stays exact."""


@dataclass(frozen=True)
class BiasField:
    """The field that was divided out.

    Attributes:
        field: smooth and positive, geometric mean 1 inside the mask, on the volume's grid.
        offset: intensity that counts as 'no signal'; 0 except for z-scored scans.
    """

    field: Volume
    offset: float


def correct_bias_field(
    volume: Volume, brain_mask: Volume | None = None, levels: int = LEVELS
) -> tuple[Volume, BiasField]:
    """Estimate the bias field with N4 and divide it out.

    Args:
        volume: finite, any unit.
        brain_mask: bool, same grid; the field is estimated inside it and applied everywhere.
            None takes all voxels above the darkest intensity.
        levels: resolutions of the field.

    Returns:
        float32, `(volume - offset) / field + offset`; and the record.

    Raises:
        PreparationError: niimath failed, or the mask is empty.
    """
    mask = volume.data > volume.data.min() if brain_mask is None else brain_mask.data
    if not mask.any():
        raise PreparationError("no voxel to estimate a bias field in; is the scan empty?")
    offset = _no_signal(volume, mask)
    signal = np.maximum(volume.data.astype(np.float32) - np.float32(offset), 0.0)
    scale = float(np.percentile(signal[mask], 99.0)) or 1.0
    with temporary_folder() as folder:
        write_nifti(folder / "scan.nii", volume.with_data(signal * np.float32(1000.0 / scale)))
        write_nifti(folder / "mask.nii", volume.with_data(mask))
        iterations = "x".join([str(ITERATIONS)] * levels)
        options = ["-n4", "-shrink", str(SHRINK), "-iter", iterations]
        files = ["-mask", "mask.nii", "-field", "field.nii", "corrected.nii"]
        run_niimath(["scan.nii", *options, *files], folder)
        field = read_nifti(folder / "field.nii")
    if field.shape != volume.shape or not np.isfinite(field).all() or (field <= 0).any():
        raise PreparationError("the bias field is not positive everywhere; try --no-bias-field")
    field = field / np.exp(np.log(field[mask]).mean(dtype=np.float64))
    field = np.clip(field, *FIELD_RANGE).astype(np.float32)
    corrected = (volume.data.astype(np.float32) - np.float32(offset)) / field + np.float32(offset)
    return volume.with_data(corrected), BiasField(volume.with_data(field), offset)


def undo_bias_field(volume: Volume, record: BiasField) -> Volume:
    """Multiply the field back in."""
    offset = np.float32(record.offset)
    return volume.with_data((volume.data - offset) * record.field.data + offset)


def _no_signal(volume: Volume, mask: BoolArray) -> float:
    """Return 0 for a magnitude image, the darkest intensity for one shifted below 0.

    The few negative voxels that interpolation leaves at edges do not make a scan 'shifted'.
    """
    if float(np.percentile(volume.data[mask], 2.0)) >= 0.0:
        return 0.0
    return float(volume.data.min())
