"""Seeded draws and smooth random fields, all from one `torch.Generator`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from anatomaly import gaussian


def uniform(rng: Generator, low: float, high: float) -> float:
    """Draw one number, uniform on [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=rng))


def integer(rng: Generator, high: int) -> int:
    """Draw one integer, uniform on 0 … high − 1."""
    return int(torch.randint(high, (), generator=rng))


def chance(rng: Generator, probability: float) -> bool:
    """Draw True with the given probability."""
    return float(torch.rand((), generator=rng)) < probability


def normal(rng: Generator, shape: tuple[int, ...]) -> Tensor:
    """Draw independent standard normal values, float32."""
    return torch.randn(shape, generator=rng)


def smooth_field(rng: Generator, shape: tuple[int, int, int], spacing: float) -> Tensor:
    """Draw a smooth field (I, J, K): normal values every `spacing` voxels, linear between."""
    coarse = tuple(max(2, round(n / spacing) + 1) for n in shape)
    field = normal(rng, (1, 1, *coarse))
    return F.interpolate(field, size=shape, mode="trilinear", align_corners=True)[0, 0]


def gaussian_blur(image: Tensor, sigma: tuple[float, float, float]) -> Tensor:
    """Blur (I, J, K), σ in voxels per axis, cut at 3 σ; edges are replicated, σ < .2 is none."""
    radii = [max(1, round(3 * s)) if s >= 0.2 else 0 for s in sigma]
    return gaussian.gaussian_blur(image, sigma, radii)
