"""Find the brain: keep a stripped one, else deepbet, else the template's mask; or the user's file.

deepbet (Fisch et al., Computers in Biology and Medicine 179:108845 (2024),
doi:10.1016/j.compbiomed.2024.108845) carries its weights in its wheel, so nothing is fetched at
run time.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from anatomaly.config import PreprocessConfig
from anatomaly.errors import GeometryError, PreparationError
from anatomaly.geometry import affine_about, affine_in_mm, apply_affine
from anatomaly.preprocess.background import fill_holes, find_foreground, keep_largest
from anatomaly.preprocess.quality import mask_dice
from anatomaly.preprocess.references import computed_once
from anatomaly.preprocess.register import align_head
from anatomaly.preprocess.resample import empty_grid, resample, resample_mask, undo_resample
from anatomaly.preprocess.template import load_template
from anatomaly.types import Affine, BoolArray
from anatomaly.volume import Volume

AGREEMENT_WITH_DEEPBET = 0.9
"""Dice above which a doubtful foreground counts as a stripped brain (heads: about 0.6)."""

LEAST_OVERLAP = 0.5
"""Share of a given mask that must lie inside the scan's field of view."""

TRIM_MM = 6.0
"""An affine leaves brains up to about 4 mm outside the template's; eyes lie farther off."""

WORKING_SPACING_MM = 1.0
NUDGE_MM = 1e-3
"""Shift of the working grid: what lies half-way between two voxels of the scan goes the same way
each time, whatever the header's rounding."""
MOST_VOXELS_PER_AXIS = 320


@dataclass(frozen=True)
class BrainExtraction:
    """How the brain was found.

    Attributes:
        method: `stripped`, `deepbet`, `atlas` or `file`.
        volume_ml: volume of the mask in mL.
        already_stripped: True where the scan came without a skull.
        warnings: doubts, in plain sentences.
    """

    method: str
    volume_ml: float
    already_stripped: bool
    warnings: tuple[str, ...] = ()


def extract_brain(volume: Volume, config: PreprocessConfig) -> tuple[Volume, BrainExtraction]:
    """Return the brain mask on the scan's own grid, and how it was found.

    Args:
        volume: finite, any unit, any orientation and spacing.
        config: `brain_mask` is used if given, else the method `brain_extraction`.

    Raises:
        PreparationError: no brain was found, the mask file is unusable, or deepbet was asked for
            and is not installed.
    """
    if config.brain_mask is not None:
        return describe(read_brain_mask(config.brain_mask, volume), volume, "file")
    method = config.brain_extraction
    if method in ("auto", "stripped"):
        foreground = find_foreground(volume)
        doubtful = foreground.is_doubtful and method == "auto"
        if (
            foreground.is_brain
            or method == "stripped"
            or (doubtful and _deepbet_agrees(volume, foreground.mask))
        ):
            return describe(foreground.mask, volume, "stripped")
    if method == "atlas":
        return describe(place_template_mask(volume), volume, "atlas")
    try:
        mask = run_deepbet(volume)
    except PreparationError as error:
        if method == "deepbet":
            raise
        said = f"{error}; the template's mask was used instead, which is coarser"
        return describe(place_template_mask(volume), volume, "atlas", said)
    return describe(mask, volume, "deepbet")


def run_deepbet(volume: Volume) -> BoolArray:
    """Return deepbet's brain mask on the volume's grid, bool (I, J, K).

    The network sees the scan upright (axes along RAS+) at 1 mm, whatever its slices are (nearest
    neighbour, as it was trained; measured slightly better than linear), and its probability, not
    its mask, is brought back: thick slices get smooth outlines.

    Raises:
        PreparationError: deepbet is not installed, or found no brain.
    """
    import torch

    network = _load_deepbet()
    upright = resample(volume, _upright_grid(volume), order=0)
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probability = network.run_model(upright.data.astype(np.float32))
    except (AssertionError, ValueError, RuntimeError, IndexError) as error:
        why = f"deepbet found no brain in this scan ({error or 'empty'})"
        raise PreparationError(why) from error
    mask = fill_holes(keep_largest(resample_mask(upright.with_data(probability), volume)))
    if not mask.any():
        raise PreparationError("deepbet found no brain in this scan")
    return mask


def place_template_mask(volume: Volume) -> BoolArray:
    """Return the template's brain mask laid over a whole head by an affine, bool (I, J, K).

    Raises:
        PreparationError: the registration failed.
    """
    mask = load_template().brain_mask
    return np.asarray(undo_resample(mask, volume, align_head(volume)).data > 0.5)


def trim_to_template(brain_mask: Volume, scanner_to_template: Affine) -> Volume:
    """Cut off what lies more than 6 mm outside the template's brain: eyes, sinuses, neck.

    Args:
        brain_mask: bool, scanner space.
        scanner_to_template: (4, 4), a registration that can be trusted.
    """
    near = undo_resample(near_template(), brain_mask, scanner_to_template).data > 0.5
    return brain_mask.with_data(keep_largest(brain_mask.data & near))


@computed_once
def near_template() -> Volume:
    """Return what lies within 6 mm of the template's brain, bool."""
    whole = load_template().brain_mask
    return whole.with_data(ndimage.distance_transform_edt(~whole.data) <= TRIM_MM)


def read_brain_mask(path: Path, volume: Volume) -> BoolArray:
    """Read a mask file and bring it onto the scan's grid by nearest neighbour.

    Args:
        path: NIfTI (or any format nibabel reads); above zero is brain.
        volume: the scan; only its grid is used.

    Raises:
        PreparationError: unreadable, not 3D, empty, or it does not lie over the scan.
    """
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        data = np.asarray(image.dataobj)
        data = data[..., 0] if data.ndim == 4 and data.shape[3] == 1 else data
        stored = Volume(np.nan_to_num(data) > 0, affine_in_mm(image.affine, image.header))
    except FileNotFoundError as error:
        raise PreparationError(f"brain mask {path} does not exist") from error
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise PreparationError(f"brain mask {path} cannot be read: {error}") from error
    except GeometryError as error:
        raise PreparationError(f"brain mask {path} cannot be used: {error}") from error
    if not stored.data.any():
        raise PreparationError(f"brain mask {path} is empty: no voxel is above 0")
    mask = resample(stored, volume, order=0).data
    inside_mm3 = float(mask.sum()) * volume.voxel_volume_mm3
    share = inside_mm3 / (float(stored.data.sum()) * stored.voxel_volume_mm3)
    if share < LEAST_OVERLAP:
        raise PreparationError(
            f"brain mask {path} does not lie over the scan: {100 * share:.0f} % of it falls inside "
            "the scan's field of view, at least 50 % must; give a mask made from this scan "
            "(same position in scanner mm)"
        )
    return np.asarray(mask)


def describe(
    mask: BoolArray, volume: Volume, method: str, *said: str
) -> tuple[Volume, BrainExtraction]:
    """Join a mask (I, J, K) on the grid of a volume, and the record of how it was found."""
    volume_ml = float(mask.sum()) * volume.voxel_volume_mm3 / 1000.0
    return volume.with_data(mask), BrainExtraction(method, volume_ml, method == "stripped", said)


def _deepbet_agrees(volume: Volume, foreground: BoolArray) -> bool:
    """Tell whether deepbet, too, takes (nearly) the whole foreground for brain."""
    try:
        return mask_dice(run_deepbet(volume), foreground) >= AGREEMENT_WITH_DEEPBET
    except PreparationError:
        return False


def _upright_grid(volume: Volume) -> Volume:
    """Return a grid with axes along RAS+ that covers the volume, 1 mm (coarser if it is huge)."""
    size = np.array(volume.shape)
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * size - 0.5
    places = apply_affine(volume.affine, corners)
    low, high = places.min(axis=0), places.max(axis=0)
    spacing = np.maximum(WORKING_SPACING_MM, (high - low) / MOST_VOXELS_PER_AXIS)
    shape = np.maximum(1, np.ceil((high - low) / spacing)).astype(int)
    origin = low + spacing / 2 + NUDGE_MM
    return empty_grid(shape, affine_about(np.diag(spacing), np.zeros(3), origin))


@lru_cache(maxsize=1)
def _load_deepbet() -> Any:
    """Load deepbet once, on the CPU."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from deepbet import BrainExtraction as Network

            return Network(no_gpu=True)
    except ImportError as error:
        raise PreparationError(
            "deepbet is not installed (pip install deepbet); or give a mask with --brain-mask"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise PreparationError(f"deepbet's weights cannot be loaded: {error}") from error
