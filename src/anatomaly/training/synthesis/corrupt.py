"""Corruption of what the restorer sees, so that it learns to answer with healthy anatomy."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from anatomaly.training.synthesis.deform import patch_grid, read_nearest
from anatomaly.training.synthesis.random_draws import (
    Rng,
    chance,
    even,
    integer,
    normal,
    smooth_field,
    uniform,
)


def corrupt_tissue(tissue_map: Tensor, lesion: Tensor, rng: Rng) -> Tensor:
    """Give lesions a tissue of their own and make a part of the map uncertain.

    In half of the cases a lesion becomes one wrong tissue (its outline enters the edges and the
    edges inside it are erased); in a fifth its border alone is torn by noise; else it is left out,
    as a good extractor would. Everywhere, up to 6 % of the places swap to the tissue next door.

    Args:
        tissue_map: (B, 4, I, J, K) one-hot, healthy.
        lesion: (B, 1, I, J, K) in [0, 1].
        rng: of the corruption.

    Returns:
        (B, 4, I, J, K) one-hot.
    """
    out = tissue_map.clone()
    brain = 1 - tissue_map[:, :1]
    shape = lesion.shape[2:]
    for b in range(len(out)):
        inside = lesion[b, 0] > uniform(rng, 0.2, 0.6)
        draw = uniform(rng, 0, 1)
        if draw < 0.7:
            if draw > 0.5:
                inside &= smooth_field(rng, shape, uniform(rng, 2, 6)) > 0
            wrong = 1 + integer(rng, 3)
            out[b][:, inside & (brain[b, 0] > 0)] = 0
            out[b, wrong][inside & (brain[b, 0] > 0)] = 1
    if chance(rng, 0.6):  # boundaries move by up to a voxel where a smooth field says so
        jitter = torch.stack([smooth_field(rng, shape, uniform(rng, 3, 8)) for _ in range(3)])
        push = torch.tensor([0.0, 1.0, 0.0, -1.0], device=out.device).view(1, 4, 1, 1, 1)
        grown = F.avg_pool3d(out, 3, 1, 1) + 0.25 * jitter.mean(0)[None, None] * push
        moved = F.one_hot(grown.argmax(1), 4).permute(0, 4, 1, 2, 3).to(out.dtype)
        where = (smooth_field(rng, shape, 12) > uniform(rng, 0.3, 2.0))[None, None]
        out = torch.where(where & (brain > 0), moved, out)
    return out


def deform_locally(tissue_map: Tensor, rng: Rng, share: float = 1.0) -> Tensor:
    """Deform the anatomy around one place of the brain, as atrophy or a mass would.

    The restorer sees this map and must answer with the undeformed one, so that it learns what
    shape is usual. A voxel at x reads from x + u(x) with, r = |x − c| / σ in voxels,

    u(x) = a · exp(½ − r² / 2) · (x − c) / σ (half of the cases: swelling for a < 0, shrinking for
    a > 0), or u(x) = a · exp(−r² / 2) · n (a shift along a random unit vector n);

    c a voxel of the brain, σ uniform on 6 to 16, |a| uniform on 1 to .4 σ: no fold appears. The
    outline of the brain stays.

    Args:
        tissue_map: (B, 4, I, J, K) one-hot.
        rng: of the deformation; untouched if share is 0.
        share: of the maps that are deformed, in [0, 1].

    Returns:
        (B, 4, I, J, K) one-hot.
    """
    out = tissue_map.clone()
    for b in range(len(out) if share > 0 else 0):
        classes = tissue_map[b].argmax(0)
        brain = classes > 0
        if not chance(rng, share) or not bool(brain.any()):
            continue
        grid = patch_grid((0, 0, 0), classes.shape, classes.device)
        moved = read_nearest(classes, grid + _bump(rng, brain))
        moved = torch.where(brain & (moved > 0), moved, classes)
        out[b] = F.one_hot(moved, 4).permute(3, 0, 1, 2).to(out)
    return out


def _bump(rng: Rng, brain: Tensor) -> Tensor:
    """Displacement field u of `deform_locally` for one map, (3, I, J, K) voxels."""
    places = brain.nonzero()
    centre = places[integer(rng, len(places))].float()
    sigma = uniform(rng, 6, 16)
    most = uniform(rng, 1, 0.4 * sigma) * (1 if chance(rng, 0.5) else -1)
    away = patch_grid((0, 0, 0), brain.shape, brain.device)
    away = (away - centre.view(3, 1, 1, 1)) / sigma
    fading = torch.exp(-0.5 * away.square().sum(0))
    if chance(rng, 0.5):
        return most * math.exp(0.5) * fading * away
    direction = F.normalize(normal(rng, (3,)), dim=0)
    return most * fading * direction.view(3, 1, 1, 1)


def drop_edges(edges: Tensor, rng: Rng, most: float = 0.15) -> Tensor:
    """Drop edges: single voxels (up to `most`) and, in half of the cases, whole places."""
    keep = even(rng, (len(edges), 1, *edges.shape[2:])) > uniform(rng, 0, most)
    if chance(rng, 0.5):
        field = smooth_field(rng, edges.shape[2:], uniform(rng, 5, 16))
        keep &= (field < uniform(rng, 1.3, 3.0))[None, None]
    return edges * keep
