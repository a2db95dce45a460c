"""Canny edges in three dimensions: Gaussian, gradient, non-maximum suppression, hysteresis.

One definition for training and for use, in torch, on any device.

Source: Canny 1986, doi:10.1109/TPAMI.1986.4767851, with the gradient direction rounded to the 13
neighbour axes of a voxel. On a tissue map σ ≤ 1 and thresholds near .02/.05 keep the cortex; the
settings of natural images lose it.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from anatomaly.gaussian import gaussian_blur
from anatomaly.model.one_hot import LEVELS
from anatomaly.types import EdgeKind

SIGMA_VOXELS = 0.7
LOW, HIGH = 0.02, 0.05

TIE = 1e-5
"""Magnitudes that differ by less are the same: the later voxel is kept, whatever rounding says."""

_AXES = [
    d for d in itertools.product((-1, 0, 1), repeat=3) if d > (0, 0, 0)
]  # 13 of 26 neighbours, one of each opposite pair


def tissue_levels(tissue_map: Tensor) -> Tensor:
    """Turn a one-hot tissue map (B, 4, I, J, K) into an anatomical image (B, 1, I, J, K)."""
    centres = torch.tensor(LEVELS, device=tissue_map.device).view(1, -1, 1, 1, 1)
    return (tissue_map * centres).sum(1, keepdim=True)


def smooth(image: Tensor, sigma_voxels: float) -> Tensor:
    """Blur (B, 1, I, J, K) with a separable Gaussian cut at 3 σ; borders are replicated."""
    radius = max(1, math.ceil(3 * sigma_voxels))
    return gaussian_blur(image, [sigma_voxels] * 3, [radius] * 3)


def gradient(image: Tensor) -> Tensor:
    """Central differences per voxel, (B, 1, I, J, K) to (B, 3, I, J, K); one-sided at borders."""
    return torch.cat(torch.gradient(image, dim=(2, 3, 4)), dim=1)


def suppress_non_maxima(magnitude: Tensor, direction: Tensor, low: float = 0.0) -> Tensor:
    """Keep voxels whose gradient magnitude is largest across the edge.

    Args:
        magnitude: (B, 1, I, J, K), >= 0.
        direction: (B, 3, I, J, K), the gradient.
        low: voxels with a magnitude of this or less are dropped at once.

    Returns:
        (B, 1, I, J, K) bool.
    """
    padded = F.pad(magnitude, (1,) * 6)
    _, _, _, j, k = padded.shape
    candidates = F.pad(magnitude > low, (1,) * 6).flatten().nonzero()[:, 0]
    steps = torch.tensor(_AXES, device=magnitude.device)
    axes = F.normalize(steps.to(direction.dtype), dim=1)
    slope = torch.stack(
        [F.pad(direction[:, a : a + 1], (1,) * 6).flatten()[candidates] for a in range(3)], dim=1
    )
    nearest = (slope @ axes.T).abs().argmax(dim=1)
    jump = (steps[:, 0] * j * k + steps[:, 1] * k + steps[:, 2])[nearest]
    flat = padded.flatten()
    here = flat[candidates]
    peak = here > flat[candidates + jump] + TIE
    peak &= here >= flat[candidates - jump] - TIE
    keep = torch.zeros_like(flat, dtype=torch.bool)
    keep[candidates[peak]] = True
    return keep.view(padded.shape)[:, :, 1:-1, 1:-1, 1:-1]


def hysteresis(weak: Tensor, strong: Tensor, most_steps: int = 32) -> Tensor:
    """Keep weak voxels that touch a strong one through weak ones (26 neighbours).

    Args:
        weak: (B, 1, I, J, K) bool, includes `strong`.
        strong: (B, 1, I, J, K) bool.
        most_steps: voxels that a chain may be long.
    """
    connected = F.pad(strong, (1,) * 6)
    flat, (j, k) = connected.view(-1), connected.shape[3:]
    steps = [a * j * k + b * k + c for a, b, c in itertools.product((-1, 0, 1), repeat=3)]
    around = torch.tensor(steps, device=weak.device)
    left = F.pad(weak & ~strong, (1,) * 6).flatten().nonzero()[:, 0]
    for _ in range(most_steps):
        touched = flat[left[:, None] + around].any(1)
        if not bool(touched.any()):
            break
        flat[left[touched]] = True
        left = left[~touched]
    return connected[:, :, 1:-1, 1:-1, 1:-1]


@torch.no_grad()
def canny_3d(
    image: Tensor, sigma_voxels: float = SIGMA_VOXELS, low: float = LOW, high: float = HIGH
) -> Tensor:
    """Find edges of a 3D image.

    Args:
        image: (B, 1, I, J, K) float, about [0, 1].
        sigma_voxels: σ of the Gaussian, in voxels.
        low: weak edges, gradient magnitude per voxel.
        high: strong edges.

    Returns:
        (B, 1, I, J, K) float, 0 or 1. No gradient passes.
    """
    return _trace_edges(image, sigma_voxels, low, high)[1].float()


def _trace_edges(
    image: Tensor, sigma_voxels: float, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """Gradient of the blurred image, (B, 3, I, J, K), and where its edges lie, bool."""
    with torch.autocast(image.device.type, enabled=False):  # half precision breaks the thresholds
        slope = gradient(smooth(image.float(), sigma_voxels))
        magnitude = slope.pow(2).sum(1, keepdim=True).sqrt()
        weak = suppress_non_maxima(magnitude, slope, low)
    return slope, hysteresis(weak, weak & (magnitude > high))


EDGE_CHANNELS: dict[EdgeKind, int] = {"canny": 1, "oriented": 3}
HEIGHT = 2.7
"""Makes the gradient at a flat edge about as large as the step between the two tissues."""


@torch.no_grad()
def anatomy_edges(tissue_map: Tensor, kind: EdgeKind = "canny") -> Tensor:
    """Edges of a one-hot tissue map (B, 4, I, J, K).

    Args:
        tissue_map: whose classes stand at the fixed `LEVELS`: no intensity of a scan is in them.
        kind: `canny` is the paper's, (B, 1, I, J, K) in {0, 1}; `oriented` keeps the gradient at
            the same edge voxels, (B, 3, I, J, K): it points to the brighter tissue, and its length
            tells which two tissues meet.

    Returns:
        0 where there is no edge. No gradient passes.
    """
    slope, edges = _trace_edges(tissue_levels(tissue_map), SIGMA_VOXELS, LOW, HIGH)
    return edges.float() if kind == "canny" else HEIGHT * slope * edges


def edge_mask(edges: Tensor) -> Tensor:
    """Where there is an edge of either kind: (B, C, I, J, K) to (B, 1, I, J, K) in {0, 1}."""
    return (edges != 0).any(1, keepdim=True).float()
