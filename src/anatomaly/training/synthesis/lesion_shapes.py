"""Shapes of real lesions: read from masks in MNI space, cached, and placed in a brain.

Only the shape of a real lesion is used, never its appearance.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, apply_affine, voxel_to_voxel
from anatomaly.training.synthesis.boxes import box_between, put_back
from anatomaly.training.synthesis.deform import box_grid, read_linear
from anatomaly.training.synthesis.random_draws import Box, Rng, chance, integer, normal, uniform


@dataclass(frozen=True)
class LesionShape:
    """A real lesion on the template grid: its cropped mask (uint8) and the crop's first voxel."""

    mask: Tensor
    start: tuple[int, int, int]
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


def random_place(rng: Rng, tissue: Tensor) -> Tensor:
    """Draw one tissue voxel, (3,) float."""
    index = tissue.nonzero()
    return index[integer(rng, len(index))].float()


def paste_shape(
    rng: Rng, shapes: list[LesionShape], tissue: Tensor, start: tuple[int, int, int]
) -> Tensor:
    """Place a real shape: at its own place where that lies in the patch, else anywhere."""
    shape = shapes[integer(rng, len(shapes))]
    mask = shape.mask.to(tissue.device)
    inside = mask.nonzero()
    anchor = inside[integer(rng, len(inside))].float()
    offset = [float(there - here) for there, here in zip(shape.start, start, strict=True)]
    own = anchor + torch.tensor(offset, device=tissue.device)
    size = torch.tensor(tissue.shape, dtype=torch.float32, device=tissue.device)
    at_home = bool(((own > 6) & (own < size - 6)).all()) and chance(rng, 0.8)
    target = own + 4 * normal(rng, (3,)) if at_home else random_place(rng, tissue)
    bend = 0.2 * normal(rng, (3, 3)) * (0.5 if at_home else 1.0)
    turn = torch.eye(3, device=tissue.device) + bend
    turn = turn / uniform(rng, 0.7, 1.4)
    if not at_home and chance(rng, 0.5):
        turn[0] = -turn[0]
    box = _reached(turn, target, anchor, mask.shape, tissue.shape)
    away = box_grid(box, tissue.device) - target.view(3, 1, 1, 1)
    source = torch.einsum("rc,cijk->rijk", turn, away)
    part = (read_linear(mask.float(), source + anchor.view(3, 1, 1, 1)) > 0.5).float()
    return put_back(part, box, tissue.shape)


def _reached(
    turn: Tensor, target: Tensor, anchor: Tensor, mask: torch.Size, shape: torch.Size
) -> Box:
    """Box around all voxels of a grid that read a mask at turn · (voxel − target) + anchor."""
    back = torch.linalg.inv(turn.double().cpu())
    ends = [(-1.0, float(n)) for n in mask]
    corners = torch.tensor(list(itertools.product(*ends)), dtype=torch.float64, device="cpu")
    there = (corners - anchor.double().cpu()) @ back.T + target.double().cpu()
    return box_between((there.amin(0) - 1).tolist(), (there.amax(0) + 2).tolist(), shape)
