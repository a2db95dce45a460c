"""Deformation, random or by a mass: where in the template grid a voxel reads its value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.training.synthesis.random_draws import Box, Rng, smooth_field, uniform


class Push(NamedTuple):
    """Mass effect: tissue moves away from a centre, most at its rim.

    Attributes:
        centre: (3,) voxel of the patch.
        reach: distance over which the shift fades, voxels.
        shift: largest shift, voxels.
    """

    centre: Tensor
    reach: float
    shift: float


def patch_grid(
    start: Sequence[int], size: Sequence[int], device: torch.device | str = "cpu"
) -> Tensor:
    """Return template voxel coordinates of a patch, (3, I, J, K) float32."""
    axes = [
        torch.arange(s, s + n, dtype=torch.float32, device=device)
        for s, n in zip(start, size, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


def box_grid(box: Box, device: torch.device) -> Tensor:
    """Return the coordinates of the voxels of a box, (3, I, J, K) float32."""
    return patch_grid(
        [part.start for part in box], [part.stop - part.start for part in box], device
    )


def random_affine(rng: Rng, degrees: float = 8, scale: float = 0.08, shift: float = 5) -> Tensor:
    """Draw a (3, 4) voxel affine about the grid's centre, on the CPU.

    Rotations (±degrees), scales (±scale), shears (±.4 · scale), shifts (±shift voxels), each
    uniform.
    """
    angles = [math.radians(uniform(rng, -degrees, degrees)) for _ in range(3)]
    matrix = torch.eye(3, device="cpu")
    for axis, angle in enumerate(angles):
        a, b = [n for n in range(3) if n != axis]
        turn = torch.eye(3, device="cpu")
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    change = [[uniform(rng, -scale, scale) for _ in range(3)] for _ in range(3)]
    for row, column in itertools.permutations(range(3), 2):
        change[row][column] *= 0.4
    matrix = matrix + torch.tensor(change, device="cpu")
    centre = (torch.tensor(TEMPLATE_SHAPE, dtype=torch.float32, device="cpu") - 1) / 2
    offset = centre - matrix @ centre
    shifts = [uniform(rng, -shift, shift) for _ in range(3)]
    offset = offset + torch.tensor(shifts, device="cpu")
    return torch.cat([matrix, offset[:, None]], dim=1)


def random_deformation(rng: Rng, start: Sequence[int], size: Sequence[int]) -> Tensor:
    """Draw source coordinates for a patch: an affine, then a smooth elastic part.

    The elastic part has control points 12 to 32 mm apart and a spread of 0 to 2.5 mm.

    Returns:
        (3, I, J, K) template voxel coordinates to read from.
    """
    coordinates = patch_grid(start, size, rng.device)
    affine = random_affine(rng).to(rng.device)
    flat = (affine[:, :3] @ coordinates.reshape(3, -1)).add_(affine[:, 3:])
    moved = flat.reshape(coordinates.shape)
    spacing, spread = uniform(rng, 12, 32), uniform(rng, 0, 2.5)
    for axis in moved:
        axis.add_(spread * smooth_field(rng, size, spacing))
    return moved


def push_coordinates(coordinates: Tensor, push: Push) -> Tensor:
    """Let a mass push the tissue around it outwards.

    A voxel at distance d from the centre reads what lay nearer to it, by
    shift · (d / reach) · exp((1 − (d / reach)²) / 2): nothing at the centre, most at the reach.

    Args:
        coordinates: (3, I, J, K) voxels to read from.
        push: the mass; no fold appears while shift < .6 · reach.
    """
    shape = coordinates.shape[1:]
    places = patch_grid((0, 0, 0), shape, coordinates.device)
    away = (places - push.centre.view(3, 1, 1, 1)).div_(push.reach)
    fading = (1 - away.square().sum(0)).mul_(0.5).exp_()
    moved = places - (push.shift * fading) * away
    grid = _to_unit(moved, shape)
    return F.grid_sample(coordinates[None], grid, align_corners=True, padding_mode="border")[0]


def read_nearest(volume: Tensor, coordinates: Tensor) -> Tensor:
    """Read (I, J, K) at the nearest voxels; 0 outside. Keeps the dtype."""
    nearest = coordinates.round()
    clamped = [at.clamp(0, n - 1) for at, n in zip(nearest, volume.shape, strict=True)]
    inside = clamped[0] == nearest[0]
    for ours, at in zip(clamped[1:], nearest[1:], strict=True):
        inside &= ours == at
    _, j, k = volume.shape
    flat = clamped[0].mul_(j).add_(clamped[1]).mul_(k).add_(clamped[2])  # whole below 2²⁴ voxels
    values: Tensor = volume.reshape(-1)[flat.long()] * inside.to(volume.dtype)
    return values


def read_linear(volume: Tensor, coordinates: Tensor) -> Tensor:
    """Read (I, J, K) float by trilinear interpolation; 0 outside."""
    grid = _to_unit(coordinates, volume.shape)
    return F.grid_sample(volume[None, None], grid, align_corners=True)[0, 0]


def _to_unit(coordinates: Tensor, shape: torch.Size) -> Tensor:
    """Voxels (3, I, J, K) of a volume as `grid_sample` counts them, (1, I, J, K, 3) in [−1, 1]."""
    unit = torch.stack(
        [(2 * at).div_(n - 1).sub_(1) for at, n in zip(coordinates, shape, strict=True)][::-1], -1
    )
    return unit[None]
