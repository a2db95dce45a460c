"""Judge how well a brain fits the template, whatever its sequence and with its lesions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from anatomaly.preprocess.resample import empty_grid, resample
from anatomaly.preprocess.template import load_template
from anatomaly.types import Affine, BoolArray, FloatArray
from anatomaly.volume import Volume


@dataclass(frozen=True)
class Fit:
    """How well a brain fits the template; higher is better for all three.

    Attributes:
        dice: overlap of the brain mask with the template's, 0 to 1.
        correlation: how much of the image the template's tissues explain, 0 to 1
            (`tissue_correlation`). It depends on the sequence: compare it within one scan.
        margin: `correlation` divided by the best correlation with the template turned the wrong
            way round. A brain in place has 1.7 or more, whatever its sequence; an object without
            brain anatomy, or a brain upside down, about 1 or less.
    """

    dice: float
    correlation: float
    margin: float


@dataclass(frozen=True)
class _Reference:
    """The template on a coarse grid, and its tissues in place and turned the wrong way round."""

    grid: Volume
    mask: BoolArray
    tissues: FloatArray
    wrong: tuple[FloatArray, ...]


def judge_fit(
    volume: Volume, brain_mask: Volume, scanner_to_template: Affine, spacing_mm: float = 2.0
) -> Fit:
    """Measure how well a brain fits the template under a given affine.

    Args:
        volume: scanner space, any unit.
        brain_mask: bool, same grid.
        scanner_to_template: (4, 4), mm to mm.
        spacing_mm: of the grid on which to compare.
    """
    reference = _load_reference(spacing_mm)
    weight = brain_mask.with_data(brain_mask.data.astype(np.float32))
    mask = resample(weight, reference.grid, scanner_to_template).data > 0.5
    image = resample(volume, reference.grid, scanner_to_template).data
    inside = mask & reference.mask
    correlation = tissue_correlation(image, inside, reference.tissues)
    wrong = max(tissue_correlation(image, inside, tissues) for tissues in reference.wrong)
    margin = correlation / max(wrong, 0.05)
    return Fit(mask_dice(mask, reference.mask), correlation, margin)


def mask_dice(first: BoolArray, second: BoolArray) -> float:
    """Return the Dice overlap 2|A∩B| / (|A|+|B|) of two masks of one shape, 0 to 1.

    >>> mask_dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 0.0


def tissue_correlation(image: FloatArray, inside: BoolArray, tissues: FloatArray) -> float:
    """Return the multiple correlation of an image with tissue maps, 0 to 1.

    The image is fitted by least squares as a mixture of the maps; the correlation between fit and
    image does not care whether CSF is dark (T1w, FLAIR) or bright (T2w).

    Args:
        image: (I, J, K), any unit; clipped to its 1st and 99th percentile inside.
        inside: (I, J, K) bool, where to compare.
        tissues: (I, J, K, M).
    """
    values = image[inside].astype(np.float64)
    if values.size < 100:
        return 0.0
    values = np.clip(values, *np.percentile(values, (1.0, 99.0)))
    values -= values.mean()
    total = float(values @ values)
    if total <= 0:
        return 0.0
    maps = tissues[inside].astype(np.float64)
    maps -= maps.mean(axis=0)
    weights, *_ = np.linalg.lstsq(maps, values, rcond=None)
    left = values - maps @ weights
    return float(np.sqrt(max(0.0, 1.0 - float(left @ left) / total)))


@lru_cache(maxsize=2)
def _load_reference(spacing_mm: float) -> _Reference:
    """Return the template on a grid of the given spacing."""
    template = load_template()
    whole = template.brain_mask
    shape = tuple(int(n / spacing_mm) for n in whole.shape)
    affine = whole.affine @ np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] += (spacing_mm - 1.0) / 2.0
    grid = empty_grid((shape[0], shape[1], shape[2]), affine)
    maps = [template.grey_matter, template.white_matter, template.brain]
    fluid = whole.with_data(template.cerebrospinal_fluid)

    def lay(world: Affine | None) -> FloatArray:
        return np.stack([resample(one, grid, world).data for one in (*maps, fluid)], axis=-1)

    mask = resample(whole.with_data(whole.data.astype(np.float32)), grid).data > 0.5
    centre = affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3]
    wrong = []
    for kept in range(3):
        turn = np.diag([1.0 if axis == kept else -1.0 for axis in range(3)] + [1.0])
        turn[:3, 3] = centre - turn[:3, :3] @ centre
        wrong.append(lay(turn))
    return _Reference(grid, mask, lay(None), tuple(wrong))
