"""The inputs of the gate benchmark: scans, drawn and changed brains, and what is no right fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import nibabel as nib
import numpy as np
from environment import data_folder
from scipy import ndimage
from scipy.spatial.transform import Rotation

from anatomaly.config import PreprocessConfig
from anatomaly.geometry import affine_about, apply_affine, rotations
from anatomaly.preprocess import register
from anatomaly.preprocess.bias_field import correct_bias_field
from anatomaly.preprocess.brain_extraction import extract_brain
from anatomaly.preprocess.checks import (
    doubts_about,
    doubts_about_coverage,
    doubts_about_volume,
    refusal_of,
)
from anatomaly.preprocess.coverage import find_coverage
from anatomaly.preprocess.quality import Fit, judge_fit
from anatomaly.preprocess.register import Registration, cut_out_brain, register_to_template
from anatomaly.preprocess.reorient import reorient
from anatomaly.preprocess.template import load_template
from anatomaly.scan.read import read_scan
from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import Volume

SEED = 14
WHITE = (2, 7, 16, 28, 41, 46, 60, 77, 85, 251, 252, 253, 254, 255)
FLUID = (4, 5, 14, 15, 24, 43, 44)


@dataclass(frozen=True)
class Task:
    """One input of the benchmark; `make` is a name in `MAKERS`, `about` says of what."""

    is_good: bool
    kind: str
    make: str
    about: str
    number: int = 0

    @property
    def name(self) -> str:
        """Unique."""
        return f"{self.kind}/{self.about}/{self.number}"

    @property
    def rng(self) -> np.random.Generator:
        """Depends on the task alone, so that the order of the runs does not matter."""
        return np.random.default_rng([SEED, *self.name.encode()])


def load(name: str) -> Volume:
    """Read a scan of the data folder."""
    return reorient(read_scan(data_folder() / f"{name}.nii.gz").volume)[0]


@lru_cache(maxsize=4)
def base(name: str) -> tuple[Volume, Volume]:
    """Return a brain without bias and its mask on a small grid."""
    volume = load(name)
    mask, _ = extract_brain(volume, PreprocessConfig())
    return cut_out_brain(correct_bias_field(volume, mask)[0], mask)


@lru_cache(maxsize=4)
def right_fit(name: str) -> Registration:
    """Return the registration of a base."""
    return register_to_template(*base(name))


def verdict(fit: Fit, mask: Volume) -> tuple[str, Fit]:
    """Return what the preparation would say of a fit, and the fit."""
    volume_ml = float(mask.data.sum()) * mask.voxel_volume_mm3 / 1000
    if refusal_of(fit) or doubts_about_volume(volume_ml, fit.missing):
        return "refused", fit
    if doubts_about(fit):
        return "warned", fit
    return "told partial" if doubts_about_coverage(fit.missing, {}) else "silent", fit


def run(volume: Volume, mask: Volume) -> tuple[str, Fit]:
    """Register a brain and judge it."""
    return verdict(register_to_template(volume, mask).fit, mask)


# --- good inputs -----------------------------------------------------------------------------


def raw(task: Task) -> tuple[str, Fit]:
    """Run a file through extraction, bias field and registration."""
    return from_volume(load(task.about))


def from_volume(volume: Volume) -> tuple[str, Fit]:
    """Run an image through extraction, bias field and registration."""
    mask, _ = extract_brain(volume, PreprocessConfig())
    return run(correct_bias_field(volume, mask)[0], mask)


def drawn(task: Task) -> tuple[str, Fit]:
    """Draw a FLAIR or T2w brain of a label map: flat contrast, a lesion, thick slices."""
    rng = task.rng
    image: Any = nib.load(data_folder() / f"{task.about}.nii.gz")
    labels = np.asarray(image.dataobj).astype(int)
    inside = (labels > 0) & (labels < 500)
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    labels, inside = labels[box], inside[box]
    shift = np.eye(4)
    shift[:3, 3] = [part.start for part in box]
    white, fluid = np.isin(labels, WHITE), np.isin(labels, FLUID)
    values = np.full(labels.shape, 0.55, dtype=np.float32)
    t2w = task.number % 2 == 1
    values[white] = 0.55 - rng.uniform(0.06, 0.15) if t2w else 0.55 - rng.uniform(-0.02, 0.06)
    values[fluid] = rng.uniform(0.8, 1.0) if t2w else rng.uniform(0.1, 0.25)
    values = ndimage.gaussian_filter(values, 0.8)
    lesion = draw_lesion(inside, float(rng.uniform(10, 250)) * 1000, rng)
    soft = ndimage.gaussian_filter(lesion.astype(np.float32), 1.5)
    values = values * (1 - soft) + soft * rng.uniform(0.8, 1.2)
    values += rng.normal(0, 0.05, values.shape)
    volume = Volume(np.where(inside, values, 0).astype(np.float32), image.affine @ shift)
    volume, mask = thicken(*reorient_both(volume, inside), float(rng.uniform(1, 8)))
    return run(*turn_both(volume, mask, rng, 15))


def varied(task: Task) -> tuple[str, Fit]:
    """Turn, crop, thicken, flatten or disturb a real brain."""
    rng = task.rng
    volume, mask = base(task.about)
    how = task.kind.split()[0]
    if how == "cropped":
        volume, mask = crop(volume, mask, task.kind.split()[1], float(rng.uniform(0.1, 0.4)))
    elif how == "thick":
        volume, mask = thicken(volume, mask, float(rng.uniform(4, 8)))
    elif how == "flat":
        volume = flatten(volume, mask, float(rng.uniform(0.3, 0.7)), rng)
    elif how == "noisy":
        spread = float(np.std(volume.data[mask.data])) * rng.uniform(0.5, 1.5)
        volume = inside_only(volume, mask, volume.data + rng.normal(0, spread, volume.shape))
    return run(*turn_both(volume, mask, rng, 20))


def draw_lesion(inside: BoolArray, size_mm3: float, rng: np.random.Generator) -> BoolArray:
    """Grow an irregular lesion of a size around a random place of the brain, voxels of 1 mm."""
    places = np.argwhere(ndimage.binary_erosion(inside, iterations=8))
    centre = places[rng.integers(len(places))]
    axes: Any = np.ogrid[tuple(slice(n) for n in inside.shape)]
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)))
    rough = ndimage.gaussian_filter(rng.normal(size=inside.shape), 6)
    score = np.where(inside, distance + 8 * rough / rough.std(), np.inf)
    return np.asarray(score <= np.partition(score.ravel(), int(size_mm3))[int(size_mm3)])


def reorient_both(volume: Volume, mask: BoolArray) -> tuple[Volume, Volume]:
    """Bring the axes of a brain and its mask near RAS+."""
    turned = reorient(volume)[0]
    same = reorient(volume.with_data(mask.astype(np.uint8)))[0]
    return turned, turned.with_data(same.data > 0)


def inside_only(volume: Volume, mask: Volume, data: FloatArray) -> Volume:
    """Return new intensities inside a mask, 0 outside."""
    return volume.with_data(np.where(mask.data, data, 0).astype(np.float32))


def thicken(volume: Volume, mask: Volume, thickness_mm: float) -> tuple[Volume, Volume]:
    """Average slices along the third axis to a thickness."""
    count = max(1, round(thickness_mm / float(volume.spacing_mm[2])))
    if count == 1:
        return volume, mask
    depth = volume.shape[2] // count * count
    affine = volume.affine @ np.diag([1.0, 1.0, count, 1.0])
    affine[:3, 3] += volume.affine[:3, 2] * (count - 1) / 2

    def average(data: FloatArray) -> FloatArray:
        slices = data[..., :depth].reshape(*volume.shape[:2], -1, count)
        return np.asarray(slices.mean(axis=-1))

    thick_mask = average(mask.data.astype(np.float32)) > 0.5
    thick = Volume(average(volume.data).astype(np.float32), affine)
    return inside_only(thick, thick.with_data(thick_mask), thick.data), thick.with_data(thick_mask)


def crop(volume: Volume, mask: Volume, side: str, share: float) -> tuple[Volume, Volume]:
    """Cut a share of the brain's length off at one side; the array ends there."""
    axis = {"front": 1, "back": 1, "top": 2, "bottom": 2, "left": 0, "right": 0}[side]
    places = np.argwhere(mask.data)[:, axis]
    low, high = int(places.min()), int(places.max())
    depth = round(share * (high - low))
    if side in ("front", "top", "right"):
        return take_planes(volume, mask, axis, 0, high - depth)
    return take_planes(volume, mask, axis, low + depth, None)


def take_planes(
    volume: Volume, mask: Volume, axis: int, first: int, end: int | None
) -> tuple[Volume, Volume]:
    """Take the planes of an axis from the first one up to the end, which is left out."""
    part = (slice(None),) * axis + (slice(first, end),)
    affine = volume.affine.copy()
    affine[:3, 3] += volume.affine[:3, axis] * first
    return Volume(volume.data[part], affine), Volume(mask.data[part], affine)


def flatten(volume: Volume, mask: Volume, share: float, rng: np.random.Generator) -> Volume:
    """Bring the middle of the histogram together by a share, and add noise."""
    values = volume.data[mask.data]
    low, middle, high = np.percentile(values, (20, 55, 90))
    near = np.clip(volume.data, low, high)
    data = volume.data - near + middle + (near - middle) * (1 - share)
    data = data + rng.normal(0, 0.05 * (high - low), data.shape)
    return inside_only(volume, mask, data)


def turn_both(
    volume: Volume, mask: Volume, rng: np.random.Generator, degrees: float
) -> tuple[Volume, Volume]:
    """Turn a head about a random axis by at most an angle, and shift it in scanner space."""
    axis, angle = rng.normal(size=3), rng.uniform(-degrees, degrees)
    turn = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis), degrees=True)
    world = np.eye(4)
    world[:3, :3] = turn.as_matrix()
    world[:3, 3] = rng.uniform(-20, 20, 3)
    return Volume(volume.data, world @ volume.affine), Volume(mask.data, world @ mask.affine)


# --- bad inputs ------------------------------------------------------------------------------


def judged(task: Task) -> tuple[str, Fit]:
    """Judge a right fit that was turned by a wrong rotation, or shifted."""
    volume, mask = base(task.about)
    fit = right_fit(task.about)
    wrong = np.eye(4)
    places = apply_affine(mask.affine, np.argwhere(mask.data).astype(float))
    there = apply_affine(fit.scanner_to_template, places)
    centre, size = there.mean(axis=0), there.std(axis=0)
    if task.kind == "turned fit":
        turn = rotations()[task.number]
        turned_size = ((there - centre) @ turn.T).std(axis=0)
        wrong[:3, :3] = np.diag(size / turned_size) @ turn
        wrong[:3, 3] = centre - wrong[:3, :3] @ centre
    else:
        direction = task.rng.normal(size=3)
        wrong[:3, 3] = direction / np.linalg.norm(direction) * (8, 12, 16, 20, 30)[task.number % 5]
    return verdict(judge_fit(volume, mask, wrong @ fit.scanner_to_template, fit.coverage), mask)


def wrong_start(task: Task) -> tuple[str, Fit]:
    """Register from a wrong rotation alone, and judge what comes out."""
    volume, mask = base(task.about)
    target = load_template().brain_mask.places_mm.mean(axis=0)
    start = affine_about(rotations()[task.number], mask.places_mm.mean(axis=0), target)
    return verdict(register._attempt(volume, mask, find_coverage(volume, mask), start).fit, mask)


def spoiled(task: Task) -> tuple[str, Fit]:
    """Half heads, slabs, and masks that do not lie over their brain."""
    rng = task.rng
    volume, mask = base(task.about)
    if task.kind == "half head":
        return run(*crop(volume, mask, ("left", "right")[task.number % 2], 0.5))
    if task.kind == "slab":
        axis, depth = 1 + task.number % 2, int(rng.integers(20, 46) / 1.5)
        places = np.argwhere(mask.data)[:, axis]
        first = int(rng.integers(places.min(), places.max() - depth))
        return run(*take_planes(volume, mask, axis, first, first + depth))
    shift = np.zeros(3, dtype=int)
    shift[rng.integers(3)] = rng.choice((-1, 1)) * (8, 14, 20)[task.number % 3] / 1.5
    moved = np.roll(mask.data, shift, (0, 1, 2))
    head = np.where(mask.data, volume.data, 500 + 300 * rng.random(volume.shape))
    return run(volume.with_data(head.astype(np.float32)), mask.with_data(moved))


def no_brain(task: Task) -> tuple[str, Fit]:
    """Noise and blobs in a brain's outline; round objects; bodies; noise."""
    rng = task.rng
    if task.kind == "noise in a brain's outline":
        _, mask = base(task.about)
        sigma = (0, 1, 2, 4, 7)[task.number % 5]
        noise = ndimage.gaussian_filter(rng.normal(size=mask.shape), sigma)
        data = 500 + 150 * noise / noise.std()
        return run(mask.with_data(np.where(mask.data, data, 0).astype(np.float32)), mask)
    shape, affine = (110, 110, 100), np.diag([2.0, 2.0, 2.0, 1.0])
    if task.kind == "noise":
        return from_volume(Volume(rng.normal(100, 30, shape).astype(np.float32), affine))
    places = (np.indices(shape).reshape(3, -1).T - (55, 55, 50)) * 2.0
    radii = rng.uniform(60, 85, 3) if task.kind == "round object" else np.array([95, 70, 300.0])
    depth = 1 - np.linalg.norm(places / radii, axis=1).reshape(shape)
    data = np.where(depth > 0, 400.0, 0) + np.where((depth > 0) & (depth < 0.1), 400, 0)
    if task.kind == "body":
        for _ in range(14):
            middle, reach = rng.uniform(-55, 55, 3), rng.uniform(10, 35, 3)
            organ = np.linalg.norm((places - middle) / reach, axis=1).reshape(shape) < 1
            data[organ & (depth > 0.1)] = rng.uniform(100, 900)
    data = ndimage.gaussian_filter(data, 0.7) + rng.normal(0, 20, data.shape)
    data = np.abs(data) if task.kind == "body" else np.where(depth > 0, data, 0)
    return from_volume(Volume(data.astype(np.float32), affine))


MAKERS: dict[str, Callable[[Task], tuple[str, Fit]]] = {
    maker.__name__: maker for maker in (raw, drawn, varied, judged, wrong_start, spoiled, no_brain)
}
