"""Judge how well a brain fits the template: by outline, by tissues, and only where it was scanned.

Outline and tissues are judged apart, because they fail apart: a flat contrast or a large lesion
spoils the tissues of a fit that is right, a crop spoils an outline. docs/decisions/0002 holds the
measurements, benchmarks/gate.py makes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from anatomaly.geometry import affine_about, rotations
from anatomaly.preprocess.coverage import Coverage
from anatomaly.preprocess.references import computed_once
from anatomaly.preprocess.resample import empty_grid, resample, resample_each, resample_mask
from anatomaly.preprocess.template import load_template
from anatomaly.types import Affine, BoolArray, FloatArray
from anatomaly.volume import Volume

OUTLINE_SPACING_MM = 4.0
TISSUE_SPACING_MM = 3.0

LOCAL_MM = 6.0
"""What varies more slowly than this (sigma) counts for nothing in the tissue agreement."""

CLIP_SPREADS = 2.0
"""Beyond so many robust standard deviations of the median all intensities are alike: a bright
lesion, be it a fifth of the brain, weighs no more than bright tissue."""

_ROOM_MM = 32.0
"""Around the template's brain, for shifted and turned outlines."""

_LEAST_MARGIN_BASE = 0.02


@dataclass(frozen=True)
class Fit:
    """How well a brain fits the template.

    Attributes:
        dice: overlap of the brain mask with the template's where the scan covers it, 0 to 1.
        outline_margin: `dice` minus the best overlap with the template turned by any other of the
            24 rotations between axes. Brains in place have 0.05 or more whatever their contrast
            and lesions, round objects about 0, brains the wrong way round less than 0.
        shift_mm: how far off the outline would fit better; 0 for a good fit, in steps of 4 mm.
        correlation: how much of the fine structure inside the template's tissues explain, 0 to 1
            (`local_agreement`).
        margin: `correlation` divided by the best one with the template upside down, back to front
            or both.
        missing: share of the template's brain that the scan does not cover, 0 to 1.
        stretch: largest by smallest scale of the affine; 1 keeps the shape, whole brains have
            1.05 to 1.2, half a head drawn out to a whole one much more.
    """

    dice: float
    outline_margin: float
    shift_mm: float
    correlation: float
    margin: float
    missing: float
    stretch: float

    @property
    def score(self) -> float:
        """What the attempts at one scan are compared by: outline and tissues."""
        return self.dice + self.outline_margin + self.correlation


def judge_fit(
    volume: Volume,
    brain_mask: Volume,
    scanner_to_template: Affine,
    coverage: Coverage,
    spacing_mm: float = TISSUE_SPACING_MM,
) -> Fit:
    """Measure how well a brain fits the template under a given affine.

    Args:
        volume: scanner space, any unit.
        brain_mask: bool, same grid.
        scanner_to_template: (4, 4), mm to mm.
        coverage: of the scan; what it does not cover is not compared.
        spacing_mm: of the grid on which tissues are compared.
    """
    grid, outlines = _load_outlines()
    covered = coverage.on_template(grid, scanner_to_template)
    laid = resample_mask(brain_mask, grid, scanner_to_template) & covered
    dice, *turned = (mask_dice(laid, outline & covered) for outline in outlines)
    missing = 1.0 - float((outlines[0] & covered).sum()) / float(outlines[0].sum())
    shift_mm = _best_shift(laid, outlines[0], covered) * OUTLINE_SPACING_MM
    grid, template_mask, upright, turned_wrong = _load_tissues(spacing_mm)
    image, mask = _lay_inside(volume, brain_mask, grid, scanner_to_template)
    inside, sigma = mask & template_mask, LOCAL_MM / spacing_mm
    correlation = local_agreement(image, inside, upright, sigma)
    wrong = max(local_agreement(image, inside, tissues, sigma) for tissues in turned_wrong)
    margin = correlation / max(wrong, _LEAST_MARGIN_BASE)
    scales = np.linalg.svd(scanner_to_template[:3, :3], compute_uv=False)
    stretch = float(scales[0] / scales[-1])
    return Fit(dice, dice - max(turned), shift_mm, correlation, margin, missing, stretch)


def _lay_inside(
    volume: Volume, brain_mask: Volume, grid: Volume, scanner_to_template: Affine
) -> tuple[FloatArray, BoolArray]:
    """Resample a brain so that nothing outside its mask is mixed in; return where it lies."""
    within = ndimage.binary_erosion(brain_mask.data)  # the rim may have been mixed before
    weight = within.astype(np.float32)
    share = resample(volume.with_data(weight), grid, scanner_to_template).data
    total = resample(volume.with_data(volume.data * weight), grid, scanner_to_template).data
    mask = share > 0.5
    return np.where(mask, total / np.maximum(share, 0.5), 0.0).astype(np.float32), mask


def mask_dice(first: BoolArray, second: BoolArray) -> float:
    """Return the Dice overlap 2|A∩B| / (|A|+|B|) of two masks of one shape, 0 to 1.

    >>> mask_dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 0.0


def local_agreement(
    image: FloatArray, inside: BoolArray, tissues: FloatArray, sigma: float
) -> float:
    """Return the multiple correlation of an image's fine structure with that of tissue maps.

    Image and maps lose what a Gaussian of the given width leaves of them, so that neither a bias
    field nor a large lesion counts; the image is clipped first (`CLIP_SPREADS`). The fit is by
    least squares and does not care whether CSF is dark (T1w, FLAIR) or bright (T2w).

    Args:
        image: (I, J, K), any unit.
        inside: (I, J, K) bool, where to compare.
        tissues: (I, J, K, M).
        sigma: voxels.

    Returns:
        0 to 1; noise and blobs of any size have 0.06 or less inside a brain's outline.
    """
    if int(inside.sum()) < 100:
        return 0.0
    middle = np.median(image[inside])
    spread = CLIP_SPREADS * 1.4826 * np.median(np.abs(image[inside] - middle))
    clipped = np.clip(image, middle - spread, middle + spread)
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    values = _detail(clipped, inside, weight, sigma)
    values -= values.mean()
    total = float(values @ values)
    if total <= 0:
        return 0.0
    maps = np.stack(
        [_detail(tissues[..., m], inside, weight, sigma) for m in range(tissues.shape[-1])], axis=1
    )
    maps -= maps.mean(axis=0)
    weights, *_ = np.linalg.lstsq(maps, values, rcond=None)
    left = values - maps @ weights
    return float(np.sqrt(max(0.0, 1.0 - float(left @ left) / total)))


def _detail(image: FloatArray, inside: BoolArray, weight: FloatArray, sigma: float) -> FloatArray:
    """Return, for the voxels inside (N,), the image minus its local mean inside."""
    blurred = ndimage.gaussian_filter(np.where(inside, image, 0.0).astype(np.float32), sigma)
    return np.asarray(image[inside] - blurred[inside] / weight[inside], dtype=np.float64)


def _best_shift(mask: BoolArray, outline: BoolArray, covered: BoolArray) -> float:
    """Return how many voxels the template's outline moves, uphill in overlap, to fit a mask."""
    shift = np.zeros(3, dtype=int)
    best = mask_dice(mask, outline & covered)
    most = int(_ROOM_MM / OUTLINE_SPACING_MM)
    steps = [sign * np.eye(3, dtype=int)[axis] for axis in range(3) for sign in (-1, 1)]
    while True:
        tries = [shift + step for step in steps if np.abs(shift + step).max() <= most]
        fits = [mask_dice(mask, np.roll(outline, tuple(to), (0, 1, 2)) & covered) for to in tries]
        if max(fits) <= best:
            return float(np.linalg.norm(shift))
        best, shift = max(fits), tries[int(np.argmax(fits))]


def load_references() -> None:
    """Compute now what `judge_fit` compares every scan with."""
    _load_outlines()
    _load_tissues(TISSUE_SPACING_MM)


@computed_once
def _load_outlines() -> tuple[Volume, tuple[BoolArray, ...]]:
    """Return a coarse grid with room, and the template's mask on it turned by each rotation.

    Each turned mask is scaled along the axes to the extent of the one in place (which is the
    first), as a registration would.
    """
    whole = load_template().brain_mask
    grid = _coarse_grid(OUTLINE_SPACING_MM, room=int(_ROOM_MM / OUTLINE_SPACING_MM))
    places = grid.with_data(resample_mask(whole, grid)).places_mm
    centre, size = places.mean(axis=0), places.std(axis=0)
    worlds = []
    for turn in rotations():
        turned_size = ((places - centre) @ turn.T).std(axis=0)
        worlds.append(affine_about(np.diag(size / turned_size) @ turn, centre))
    return grid, tuple(laid.data > 0.5 for laid in resample_each(whole, grid, worlds))


@computed_once
def _load_tissues(spacing_mm: float) -> tuple[Volume, BoolArray, FloatArray, list[FloatArray]]:
    """Return a coarse grid and on it the template's mask, its tissues (I, J, K, 4), turned ones.

    The last are its tissues upside down, back to front and both.
    """
    template, grid = load_template(), _coarse_grid(spacing_mm)
    fluid, grey, white = template.tissues
    maps = [template.brain_mask.with_data(one) for one in (grey, white, template.brain.data, fluid)]
    mask = resample_mask(template.brain_mask, grid)
    centre = grid.affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + grid.affine[:3, 3]
    flips = [np.where(np.arange(3) == same, 1.0, -1.0) for same in range(3)]
    worlds = [None, *(affine_about(np.diag(signs), centre) for signs in flips)]
    laid = [list(resample_each(one, grid, worlds)) for one in maps]
    upright, *wrong = (
        np.stack([one.data for one in way], axis=-1) for way in zip(*laid, strict=True)
    )
    return grid, mask, upright, wrong


def _coarse_grid(spacing_mm: float, room: int = 0) -> Volume:
    """Return an empty grid over the template, with so many voxels of room on each side."""
    whole = load_template().brain_mask
    affine = whole.affine @ np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] += (spacing_mm - 1.0) / 2.0 - spacing_mm * room
    return empty_grid([int(n / spacing_mm) + 2 * room for n in whole.shape], affine)
