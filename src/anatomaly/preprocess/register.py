"""Register a brain to MNI152 by 12 degrees of freedom (niimath), with more starts when it fails.

Before niimath sees the brain it is put on a small isotropic grid with its centre on the
template's, so a wrong origin does not matter; and when the result is poor, the brain is turned
by each of the 24 rotations between axes, the best few of which are tried as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from anatomaly.errors import PreparationError
from anatomaly.geometry import affine_about, rotations
from anatomaly.preprocess.checks import doubts_about
from anatomaly.preprocess.coverage import Coverage, find_coverage, full_coverage
from anatomaly.preprocess.niimath import run_niimath, write_nifti
from anatomaly.preprocess.quality import Fit, judge_fit
from anatomaly.preprocess.register_outline import fit_outline
from anatomaly.preprocess.resample import empty_grid, resample, resample_mask
from anatomaly.preprocess.template import load_template
from anatomaly.temporary import temporary_folder
from anatomaly.types import Affine, FloatArray
from anatomaly.volume import Volume

MOVING_SPACING_MM = 1.5
"""niimath's fast engine works at 2 mm at its finest: finer images gain nothing."""

MORE_STARTS = 3

RANKING_SPACING_MM = 4.0


@dataclass(frozen=True)
class Registration:
    """Where the brain lies in template space, and how well it fits.

    Attributes:
        scanner_to_template: (4, 4), scanner RAS+ mm to template mm.
        fit: how well the brain fits there.
        coverage: what the scan covers.
        attempts: how many starts were tried.
    """

    scanner_to_template: Affine
    fit: Fit
    coverage: Coverage = field(default_factory=full_coverage)
    attempts: int = 1

    @property
    def is_good(self) -> bool:
        """True where nothing is doubtful and no further start is needed."""
        return doubts_about(self.fit) is None

    @property
    def turn_degrees(self) -> float:
        """Angle between the scan's axes and the template's, 0 to 180."""
        cosine = (np.trace(nearest_rotation(self.scanner_to_template)) - 1.0) / 2.0
        return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def register_to_template(volume: Volume, brain_mask: Volume) -> Registration:
    """Find the affine that brings a brain onto the template.

    Args:
        volume: any sequence, any unit, any grid; what lies outside the mask is ignored.
        brain_mask: bool, same grid.

    Raises:
        PreparationError: the mask is empty or niimath failed.
    """
    if not brain_mask.data.any():
        raise PreparationError("the brain mask is empty; give one with --brain-mask")
    moving, mask = cut_out_brain(volume, brain_mask)
    coverage = find_coverage(volume, mask)
    template_centre = load_template().brain_mask.places_mm.mean(axis=0)
    start = affine_about(np.eye(3), mask.places_mm.mean(axis=0), template_centre)
    best = _attempt(moving, mask, coverage, start)
    attempts = 1
    for start in _more_starts(moving, mask, coverage, best):
        another = _attempt(moving, mask, coverage, start)
        best = max(best, another, key=lambda registration: registration.fit.score)
        attempts += 1
        if best.is_good:
            break
    return replace(best, attempts=attempts)


def _more_starts(
    moving: Volume, mask: Volume, coverage: Coverage, first: Registration
) -> Iterator[Affine]:
    """Yield further starts where the first fit is doubtful, the likeliest first."""
    if first.is_good:
        return
    if coverage.is_partial:
        yield fit_outline(mask, coverage)
    yield from _rank_rotations(moving, mask, coverage)


def align_head(volume: Volume) -> Affine:
    """Return the affine, scanner mm to template mm, of a whole head (skull and all).

    Coarser than `register_to_template`: it serves to lay the template's brain mask over the head.

    Raises:
        PreparationError: niimath failed.
    """
    low, high = np.percentile(volume.data, (1.0, 99.5))
    bright = volume.data > low + 0.15 * (high - low)
    if not bright.any():
        raise PreparationError("the scan holds no head: all voxels are (nearly) equal")
    data = np.clip((volume.data.astype(np.float32) - low) / max(high - low, 1e-12), 0, 1)
    return run_allineate(volume.with_data(data * 1000), load_template().brain, np.eye(4))


def nearest_rotation(affine: Affine) -> FloatArray:
    """Return the rotation (3, 3) closest to an affine's linear part (polar decomposition)."""
    left, _, right = np.linalg.svd(affine[:3, :3])
    flip = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(left @ right)))])
    return np.asarray(left @ flip @ right)


def _attempt(moving: Volume, mask: Volume, coverage: Coverage, start: Affine) -> Registration:
    """Run niimath from one start (scanner mm to roughly template mm) and judge the result."""
    affine = run_allineate(moving, load_template().brain, start)
    return Registration(affine, judge_fit(moving, mask, affine, coverage), coverage)


def run_allineate(moving: Volume, target: Volume, start: Affine) -> Affine:
    """Find the 12 degrees of freedom that bring one brain onto another.

    Args:
        moving: brain alone above a zero background, see `cut_out_brain`.
        target: the same of the other.
        start: (4, 4), mm of `moving` to roughly mm of `target`: niimath is shown `moving` there.

    Returns:
        (4, 4), mm of `moving` to mm of `target`.

    Raises:
        PreparationError: niimath failed.
    """
    options = ["-cost", "fast", "-nearest", "-savemat", "affine.json"]
    with temporary_folder() as folder:
        write_nifti(folder / "moving.nii", Volume(moving.data, start @ moving.affine))
        write_nifti(folder / "target.nii", target)
        run_niimath(["moving.nii", "-allineate", "target.nii", *options, "out.nii"], folder)
        try:
            said = json.loads((folder / "affine.json").read_text("utf-8"))
            fixed_to_moving = np.array(said["fixed_to_moving"], dtype=np.float64)
            affine = np.linalg.inv(fixed_to_moving) @ start
        except (OSError, ValueError, KeyError, np.linalg.LinAlgError) as error:
            raise PreparationError("niimath found no affine between two brains") from error
    affine[3] = (0.0, 0.0, 0.0, 1.0)
    return np.asarray(affine)


def cut_out_brain(volume: Volume, brain_mask: Volume) -> tuple[Volume, Volume]:
    """Return the brain alone, 0 to 1000 above a zero background, and its mask, on a small grid.

    Args:
        volume: any unit, any grid.
        brain_mask: bool, same grid.
    """
    inside = volume.data[brain_mask.data]
    low, high = (float(x) for x in np.percentile(inside, (0.1, 99.8)))
    span = max(high - low, 1e-12)
    floor = 0.0 if low >= 0 else low
    data = np.zeros(volume.shape, dtype=np.float32)
    data[brain_mask.data] = np.clip(inside - floor, 0.0, max(high - floor, span))
    data *= np.float32(1000.0 / max(high - floor, span))
    grid = _brain_grid(brain_mask)
    moving = resample(volume.with_data(data), grid)
    return moving, moving.with_data(resample_mask(brain_mask, grid))


def _brain_grid(brain_mask: Volume) -> Volume:
    """Return an isotropic grid along RAS+ around the brain, with a margin of 10 mm."""
    places = brain_mask.places_mm
    low, high = places.min(axis=0) - 10.0, places.max(axis=0) + 10.0
    shape = (np.ceil((high - low) / MOVING_SPACING_MM) + 1).astype(int)
    return empty_grid(shape, affine_about(MOVING_SPACING_MM * np.eye(3), np.zeros(3), low))


def _rank_rotations(moving: Volume, mask: Volume, coverage: Coverage) -> list[Affine]:
    """Return the starts of the best rotations other than none, by a fit of size and centre only."""
    target, places = load_template().brain_mask.places_mm, mask.places_mm
    centre, target_centre = places.mean(axis=0), target.mean(axis=0)
    ranked = []
    for turn in rotations():
        size = (places @ turn.T).std(axis=0)
        scale = np.diag(np.clip(target.std(axis=0) / size, 0.6, 1.6))
        start = affine_about(scale @ turn, centre, target_centre)
        fit = judge_fit(moving, mask, start, coverage, RANKING_SPACING_MM)
        ranked.append((fit.score, affine_about(turn, centre, target_centre)))
    ranked.sort(key=lambda pair: -pair[0])
    return [start for _, start in ranked if not np.allclose(start[:3, :3], np.eye(3))][:MORE_STARTS]
