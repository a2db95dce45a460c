"""Corruption of what the restorer sees, so that it learns to answer with healthy anatomy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from anatomaly.training.synthesis.random_draws import chance, integer, smooth_field, uniform


def corrupt_tissue(tissue_map: Tensor, lesion: Tensor, rng: Generator) -> Tensor:
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
    shape = (lesion.shape[2], lesion.shape[3], lesion.shape[4])
    device = tissue_map.device  # the draws are made on the CPU, the same on every device
    for b in range(len(out)):
        inside = lesion[b, 0] > uniform(rng, 0.2, 0.6)
        draw = uniform(rng, 0, 1)
        if draw < 0.7:
            if draw > 0.5:
                inside &= smooth_field(rng, shape, uniform(rng, 2, 6)).to(device) > 0
            wrong = 1 + integer(rng, 3)
            out[b][:, inside & (brain[b, 0] > 0)] = 0
            out[b, wrong][inside & (brain[b, 0] > 0)] = 1
    if chance(rng, 0.6):  # boundaries move by up to a voxel where a smooth field says so
        jitter = torch.stack([smooth_field(rng, shape, uniform(rng, 3, 8)) for _ in range(3)])
        push = torch.tensor([0.0, 1.0, 0.0, -1.0]).view(1, 4, 1, 1, 1)
        grown = F.avg_pool3d(out, 3, 1, 1) + (0.25 * jitter.mean(0)[None, None] * push).to(device)
        moved = F.one_hot(grown.argmax(1), 4).permute(0, 4, 1, 2, 3).to(out.dtype)
        where = (smooth_field(rng, shape, 12) > uniform(rng, 0.3, 2.0))[None, None].to(device)
        out = torch.where(where & (brain > 0), moved, out)
    return out


def drop_edges(edges: Tensor, rng: Generator, most: float = 0.15) -> Tensor:
    """Drop edges: single voxels (up to `most`) and, in half of the cases, whole places."""
    keep = torch.rand(edges.shape, generator=rng) > uniform(rng, 0, most)
    if chance(rng, 0.5):
        shape = (edges.shape[2], edges.shape[3], edges.shape[4])
        keep &= (smooth_field(rng, shape, uniform(rng, 5, 16)) < uniform(rng, 1.3, 3.0))[None, None]
    return edges * keep.to(edges.device)
