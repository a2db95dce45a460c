"""Synthetic lesions: real shapes and drawn ones, with intensities that fit the sequence.

Only the shape of a real lesion is used, never its appearance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from torch import Generator, Tensor

from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, apply_affine, voxel_to_voxel
from anatomaly.training.synthesis.contrast import CORTEX, CSF, WHITE, Contrast
from anatomaly.training.synthesis.deform import patch_grid, read_linear
from anatomaly.training.synthesis.random_draws import (
    chance,
    gaussian_blur,
    integer,
    normal,
    smooth_field,
    uniform,
)


@dataclass(frozen=True)
class LesionShape:
    """A real lesion on the template grid: its cropped mask (uint8) and the crop's first voxel."""

    mask: Tensor
    start: tuple[int, int, int]
    kind: str


@dataclass(frozen=True)
class Lesion:
    """What is blended into an image patch.

    Attributes:
        alpha: (I, J, K) in [0, 1], share of lesion tissue.
        core: (I, J, K) in [0, 1], share of the core within it; zeros without a core.
        kind: stroke, ms, tumour, spots or none.
    """

    alpha: Tensor
    core: Tensor
    kind: str


def load_shapes(folder: Path, cache: Path, held_out: bool = False) -> list[LesionShape]:
    """Load lesion shapes (`stroke/` and `ms/` below `folder`), resampled to the template grid.

    Every fifth shape of a kind is held out for validation; `held_out` returns those instead.
    MSLUB patients 19 and 26 are never used: they are test cases.

    Raises:
        TrainingError: no shape is found.
    """
    path = cache / "lesion_shapes.npz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        _build_shapes(folder, path)
    shapes = []
    with np.load(path) as file:
        for name in sorted(n for n in file.files if n.endswith(":mask")):
            kind, number, _ = name.split(":")
            if (int(number) % 5 == 4) == held_out:
                i, j, k = (int(v) for v in file[name.replace(":mask", ":start")])
                shapes.append(LesionShape(torch.from_numpy(file[name]), (i, j, k), kind))
    return shapes


def _build_shapes(folder: Path, path: Path) -> None:
    arrays: dict[str, np.ndarray] = {}
    for kind in ("stroke", "ms"):
        files = sorted((folder / kind).glob("*.nii.gz"))
        files = [f for f in files if not f.name.startswith(("patient19", "patient26"))]
        for number, file in enumerate(files):
            image: Any = nib.load(file)
            to_voxel = voxel_to_voxel(TEMPLATE_AFFINE, np.asarray(image.affine, dtype=np.float64))
            data = (np.asarray(image.dataobj) > 0).astype(np.float32)
            index = np.argwhere(data)
            if len(index) < 8:
                continue
            ends = np.stack([index.min(0), index.max(0)]).astype(np.float64)
            corners = apply_affine(np.linalg.inv(to_voxel).astype(np.float64), ends)
            low = np.clip(np.floor(corners.min(0)) - 2, 0, TEMPLATE_SHAPE).astype(int)
            high = np.clip(np.ceil(corners.max(0)) + 3, 0, TEMPLATE_SHAPE).astype(int)
            offset = apply_affine(to_voxel, low.astype(np.float64))
            mask = ndimage.affine_transform(
                data, to_voxel[:3, :3], offset, tuple(high - low), order=1
            )
            crop = mask > 0.5
            arrays[f"{kind}:{number:04d}:mask"] = crop.astype(np.uint8)
            arrays[f"{kind}:{number:04d}:start"] = low
    if not arrays:
        raise TrainingError(f"{folder}: no lesion shapes (*.nii.gz) in stroke/ or ms/")
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def no_lesion(classes: Tensor) -> Lesion:
    """Return the lesion of a healthy patch: nothing."""
    empty = torch.zeros(classes.shape)
    return Lesion(empty, empty, "none")


def draw_lesion(
    rng: Generator, shapes: list[LesionShape], classes: Tensor, start: tuple[int, int, int]
) -> Lesion:
    """Draw a lesion for a patch of the brain.

    Kinds: stroke .27 and ms .23 (real shapes, turned, scaled and shifted), tumour .22 (drawn, half
    of them with a core), spots .13 (one to six drawn ellipsoids), none .15.

    Args:
        rng: of the lesion.
        shapes: real shapes; without any, tumours take their place.
        classes: (I, J, K) classes of the patch; lesions stay in brain tissue.
        start: first template voxel of the patch.
    """
    tissue = (classes >= 3) & (classes <= 12)
    draw = uniform(rng, 0, 1)
    if draw < 0.15 or int(tissue.sum()) < 5000:
        return no_lesion(classes)
    core = torch.zeros(classes.shape)
    if draw < 0.65 and shapes:
        kind = "stroke" if draw < 0.42 else "ms"
        alpha = _paste_shape(rng, [s for s in shapes if s.kind == kind] or shapes, tissue, start)
    elif draw < 0.87:
        kind = "tumour"
        alpha, core = _draw_tumour(rng, tissue)
    else:
        kind = "spots"
        alpha = _draw_spots(rng, tissue)
    sigma = uniform(rng, 0.3, 1.3)
    soft = gaussian_blur(alpha, (sigma, sigma, sigma)) * uniform(rng, 0.6, 1.0)
    allowed = gaussian_blur((tissue | (classes == 2)).float(), (0.6, 0.6, 0.6))
    return Lesion((soft * allowed).clamp(0, 1), core * allowed, kind)


def _random_place(rng: Generator, tissue: Tensor) -> Tensor:
    """Draw one tissue voxel, (3,) float."""
    index = tissue.nonzero()
    return index[integer(rng, len(index))].float()


def _paste_shape(
    rng: Generator, shapes: list[LesionShape], tissue: Tensor, start: tuple[int, int, int]
) -> Tensor:
    """Place a real shape: at its own place where that lies in the patch, else anywhere."""
    shape = shapes[integer(rng, len(shapes))]
    inside = shape.mask.nonzero()
    anchor = inside[integer(rng, len(inside))].float()
    offset = (torch.tensor(shape.start) - torch.tensor(start)).float()
    own = anchor + offset
    size = torch.tensor(tissue.shape, dtype=torch.float32)
    at_home = bool(((own > 6) & (own < size - 6)).all()) and chance(rng, 0.8)
    target = own + 4 * normal(rng, (3,)) if at_home else _random_place(rng, tissue)
    turn = torch.eye(3) + 0.2 * normal(rng, (3, 3)) * (1.0 if not at_home else 0.5)
    turn = turn / uniform(rng, 0.7, 1.4)
    if not at_home and chance(rng, 0.5):
        turn[0] = -turn[0]
    grid = patch_grid((0, 0, 0), (tissue.shape[0], tissue.shape[1], tissue.shape[2]))
    source = torch.einsum("rc,cijk->rijk", turn, grid - target.view(3, 1, 1, 1))
    return (read_linear(shape.mask.float(), source + anchor.view(3, 1, 1, 1)) > 0.5).float()


def _blob_distance(rng: Generator, tissue: Tensor, radius: float) -> Tensor:
    """Distance from a random centre in units of the radius, with an irregular outline."""
    shape = (tissue.shape[0], tissue.shape[1], tissue.shape[2])
    centre = _random_place(rng, tissue).view(3, 1, 1, 1)
    stretch = torch.eye(3) + 0.25 * normal(rng, (3, 3))
    away = patch_grid((0, 0, 0), shape) - centre
    distance: Tensor = torch.einsum("rc,cijk->rijk", stretch, away).norm(dim=0)
    rough = uniform(rng, 0.1, 0.45)
    return distance / radius + rough * smooth_field(rng, shape, max(3.0, radius * 0.7))


def _draw_tumour(rng: Generator, tissue: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a mass of 6 to 32 mm radius; in half of them the inner part is a core of its own."""
    distance = _blob_distance(rng, tissue, uniform(rng, 6, 32))
    alpha = (distance < 1).float()
    core = torch.zeros_like(alpha)
    if chance(rng, 0.5):
        core = gaussian_blur((distance < uniform(rng, 0.3, 0.75)).float(), (0.8, 0.8, 0.8))
    return alpha, core


def _draw_spots(rng: Generator, tissue: Tensor) -> Tensor:
    """Draw one to six ellipsoids of 1.5 to 7 mm radius."""
    alpha = torch.zeros(tissue.shape)
    for _ in range(1 + integer(rng, 6)):
        radius = uniform(rng, 1.5, 7)
        alpha = torch.maximum(alpha, (_blob_distance(rng, tissue, radius) < 1).float())
    return alpha


def _lesion_value(rng: Generator, contrast: Contrast, core: bool) -> float:
    """Draw the mean intensity of a lesion in one contrast.

    T1w: from a fifth of the way from white matter to CSF up to CSF (7 %: brighter than white
    matter). T2w: a third of the way to a tenth beyond CSF (5 % dark). FLAIR: .10 to .55 above
    grey matter; half of the cores are dark as CSF. random: anywhere at least .12 from white matter.
    """
    csf, grey, white = (float(contrast.means[c]) for c in (CSF, CORTEX, WHITE))

    def towards_csf(low: float, high: float) -> float:
        return white + (csf - white) * uniform(rng, low, high)

    if contrast.sequence == "T1w":
        bright = chance(rng, 0.07)
        nearest = 0.5 if core else 0.2
        return white * uniform(rng, 1.05, 1.3) if bright else towards_csf(nearest, 1.0)
    if contrast.sequence == "T2w":
        dark = chance(rng, 0.05)
        return white * uniform(rng, 0.3, 0.8) if dark else towards_csf(0.3, 1.1)
    if contrast.sequence == "FLAIR":
        if core and chance(rng, 0.5):
            return csf + (grey - csf) * uniform(rng, 0.0, 0.6)
        return grey + uniform(rng, 0.10, 0.55)
    while True:
        value = uniform(rng, 0.0, 1.2)
        if abs(value - white) > 0.12:
            return value


def paint_lesion(rng: Generator, image: Tensor, lesion: Lesion, contrast: Contrast) -> Tensor:
    """Blend a lesion into a healthy image (I, J, K); a new image."""
    if lesion.kind == "none":
        return image
    shape = (image.shape[0], image.shape[1], image.shape[2])
    texture = uniform(rng, 0.0, 0.08) * smooth_field(rng, shape, uniform(rng, 2, 10))
    rim = _lesion_value(rng, contrast, core=False)
    inner = _lesion_value(rng, contrast, core=True) if bool(lesion.core.any()) else rim
    value = rim + (inner - rim) * lesion.core + texture
    return image + lesion.alpha * (value - image)
