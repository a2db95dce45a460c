"""Seeded draws and smooth random fields: numbers on the CPU, fields on any device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from anatomaly import gaussian


class Draws:
    """What one sample draws from: numbers on the CPU, fields (whole tensors) on a device.

    Numbers steer the program, so they must not wait for a device; fields are large, so they must
    not travel to it. On the CPU both come from one generator, in the order in which they are asked
    for; on another device the fields have a generator of their own with the same seed. So what is
    drawn depends on the seed and on the kind of device, and on nothing else.

    Args:
        seed: of both generators.
        device: of the fields.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.numbers = Generator("cpu").manual_seed(seed)
        on_cpu = self.device.type == "cpu"
        self.fields = self.numbers if on_cpu else Generator(self.device).manual_seed(seed)


Rng = Draws | Generator
"""Source of draws; a plain generator of the CPU draws numbers and fields there."""


def _numbers(rng: Rng) -> Generator:
    return rng.numbers if isinstance(rng, Draws) else rng


def _fields(rng: Rng) -> Generator:
    return rng.fields if isinstance(rng, Draws) else rng


def uniform(rng: Rng, low: float, high: float) -> float:
    """Draw one number, uniform on [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=_numbers(rng), device="cpu"))


def integer(rng: Rng, high: int) -> int:
    """Draw one integer, uniform on 0 … high − 1."""
    return int(torch.randint(high, (), generator=_numbers(rng), device="cpu"))


def chance(rng: Rng, probability: float) -> bool:
    """Draw True with the given probability."""
    return float(torch.rand((), generator=_numbers(rng), device="cpu")) < probability


def pick(rng: Rng, shares: Mapping[str, float]) -> str:
    """Draw a name with a probability in proportion to its share."""
    draw = uniform(rng, 0, sum(shares.values()))
    for name, share in shares.items():
        draw -= share
        if draw < 0:
            return name
    return next(reversed(list(shares)))


def normal(rng: Rng, shape: Sequence[int]) -> Tensor:
    """Draw independent standard normal values, float32, on the device."""
    return torch.randn(shape, generator=_fields(rng), device=rng.device)


def even(rng: Rng, shape: Sequence[int]) -> Tensor:
    """Draw independent values, uniform on [0, 1), float32, on the device."""
    return torch.rand(shape, generator=_fields(rng), device=rng.device)


def numbers(rng: Rng, count: int) -> Tensor:
    """Draw numbers, uniform on [0, 1), (count,) float32 on the CPU."""
    return torch.rand(count, generator=_numbers(rng), device="cpu")


Box = tuple[slice, slice, slice]
"""Part of a grid, with bounds that are numbers."""


def smooth_field(rng: Rng, shape: Sequence[int], spacing: float, box: Box | None = None) -> Tensor:
    """Draw a smooth field: normal values every `spacing` voxels, linear between.

    Args:
        rng: of the field.
        shape: of the grid, (I, J, K).
        spacing: voxels.
        box: part of the field that is wanted; the draws are those of the whole.

    Returns:
        (I, J, K) float32, or the part.
    """
    return refine(draw_coarse(rng, shape, spacing), shape, box)


def draw_coarse(rng: Rng, shape: Sequence[int], spacing: float) -> Tensor:
    """Draw the values of a smooth field on a grid of about `spacing` voxels, both ends included."""
    return normal(rng, [max(2, round(n / spacing) + 1) for n in shape])


def refine(coarse: Tensor, shape: Sequence[int], box: Box | None = None) -> Tensor:
    """Interpolate values whose first and last lie on the first and last voxel of a grid.

    Args:
        coarse: 2 values or more along each axis.
        shape: of the grid, (I, J, K).
        box: part of the grid that is wanted.

    Returns:
        (I, J, K) or the part: trilinear between the values.
    """
    if coarse.is_cpu:
        return _refine_planes(coarse, shape, box or (slice(0, shape[0]), slice(None), slice(None)))
    whole = F.interpolate(coarse[None, None], tuple(shape), mode="trilinear", align_corners=True)[
        0, 0
    ]
    return whole if box is None else whole[box]


def _refine_planes(field: Tensor, shape: Sequence[int], box: Box) -> Tensor:
    """`refine` to the last bit of `torch.nn.functional.interpolate`, in half of its time.

    That weighs eight values at each voxel; here each plane of values is interpolated along J and K
    once, and two planes are weighed at each place between them.
    """
    coarse, fine = field.shape[0], shape[0]
    size = (coarse, *shape[1:])
    planes = F.interpolate(field[None, None], size, mode="trilinear", align_corners=True)[0, 0]
    planes = planes[:, box[1], box[2]].contiguous()
    step = field.new_tensor((coarse - 1) / max(1, fine - 1))
    places = torch.arange(box[0].start, box[0].stop, dtype=field.dtype, device=field.device)
    at = places * step
    low = at.floor().clamp(max=coarse - 1)
    share = (at - low).clamp(0, 1)
    out = planes.new_empty(len(at), *planes.shape[1:])
    shares = zip((1 - share).tolist(), share.tolist(), strict=True)
    for plane, n, (near, far) in zip(out, low.int().tolist(), shares, strict=True):
        torch.mul(planes[min(n + 1, coarse - 1)], far, out=plane)
        plane.add_(planes[n], alpha=near)
    return out


def gaussian_blur(image: Tensor, sigma: float | tuple[float, float, float]) -> Tensor:
    """Blur (I, J, K) with edges replicated; σ in voxels, of all axes or each; below .2 it is none.

    The window is cut at 3 σ.
    """
    sigmas = sigma if isinstance(sigma, tuple) else (sigma,) * 3
    return gaussian.gaussian_blur(image, sigmas, [blur_radius(s) for s in sigmas])


def blur_radius(sigma: float) -> int:
    """Voxels that `gaussian_blur` looks at on each side."""
    return max(1, round(3 * sigma)) if sigma >= 0.2 else 0
