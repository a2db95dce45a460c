"""What differs between healthy brains and is no lesion: greys, CSF flow, rims, wide ventricles.

Real T1w scans recoloured as T2w or FLAIR do not have these, and a network that never met them
calls them lesions.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from anatomaly.training.synthesis.contrast import WHITE
from anatomaly.training.synthesis.deform import Push
from anatomaly.training.synthesis.random_draws import (
    chance,
    gaussian_blur,
    integer,
    smooth_field,
    uniform,
)

SOFT = (0.8, 0.8, 0.8)


def add_normal_variants(rng: Generator, image: Tensor, classes: Tensor, sequence: str) -> Tensor:
    """Vary a healthy image (I, J, K) as healthy people vary; a new image.

    Grey matter by a smooth field of spread 0 to .05 (white matter 0 to .025) over 20 to 60 mm; in
    40 % CSF by up to .15, brighter in FLAIR and T1w (inflow), darker in T2w (flow voids); in 70 %
    of the FLAIR images a rim of 1 to 4 mm around the ventricles, up to .2 brighter.
    """
    shape = (image.shape[0], image.shape[1], image.shape[2])
    grey = gaussian_blur(((classes >= 3) & (classes <= 8)).float(), SOFT)
    white = gaussian_blur(((classes >= WHITE) & (classes <= 12)).float(), SOFT)
    spacing = uniform(rng, 20, 60)
    out = image + uniform(rng, 0, 0.05) * smooth_field(rng, shape, spacing) * grey
    out = out + uniform(rng, 0, 0.025) * smooth_field(rng, shape, spacing) * white
    if chance(rng, 0.4):
        csf = gaussian_blur(((classes == 1) | (classes == 2)).float(), SOFT)
        flow = smooth_field(rng, shape, uniform(rng, 6, 30)).clamp(min=0) * uniform(rng, 0, 0.15)
        out = out + (-flow if sequence == "T2w" else flow) * csf
    if sequence == "FLAIR" and chance(rng, 0.7):
        sigma = uniform(rng, 0.6, 2.0)
        near = gaussian_blur((classes == 1).float(), (sigma, sigma, sigma))
        out = out + uniform(rng, 0, 0.2) * (2.5 * near).clamp(max=1) * white
    return torch.clamp(out, min=-0.1)


def widen_ventricles(rng: Generator, classes: Tensor) -> Push | None:
    """Widen a ventricle around some place in one of six brains that show one, (I, J, K) classes.

    Age and atrophy do so in all of a brain; without it fluid in an unusual place and a wide
    ventricle are the same to a network.
    """
    if not chance(rng, 1 / 6):
        return None
    inside = (classes == 1).nonzero()
    if not len(inside):
        return None
    reach = uniform(rng, 10, 28)
    return Push(inside[integer(rng, len(inside))].float(), reach, reach * uniform(rng, 0.05, 0.3))
