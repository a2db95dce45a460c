"""Synthetic lesions: where they lie, what they are made of, and how they push the brain aside.

Real shapes (stroke, MS) and drawn ones (tumours with core and oedema, haemorrhages, spots,
periventricular white-matter lesions). How they look in a sequence: `lesion_values`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from anatomaly.training.synthesis.contrast import WHITE
from anatomaly.training.synthesis.deform import Push, patch_grid
from anatomaly.training.synthesis.lesion_shapes import LesionShape, paste_shape, random_place
from anatomaly.training.synthesis.random_draws import (
    chance,
    gaussian_blur,
    integer,
    normal,
    smooth_field,
    uniform,
)

KIND_SHARES: dict[str, float] = {
    "none": 0.12,
    "stroke": 0.16,
    "ms": 0.21,
    "tumour": 0.29,
    "haemorrhage": 0.05,
    "spots": 0.07,
    "periventricular": 0.10,
}
"""How often each kind is drawn; what cannot be drawn (no shapes, no ventricle) is a tumour."""

FEWEST_TISSUE_VOXELS = 5000
"""A patch with less brain tissue than this stays healthy."""


@dataclass(frozen=True)
class Lesion:
    """What is blended into an image patch.

    Attributes:
        alpha: (I, J, K) in [0, 1], share of lesion tissue.
        core: (I, J, K) in [0, 1], share of the core within it; zeros without a core.
        kind: a key of `KIND_SHARES`.
        oedema: (I, J, K) in [0, 1], share of the oedema within it; None without one.
        push: mass effect, if it has one.
        fluid: whether the core is a hole filled with fluid: cyst, necrosis, old infarct.
    """

    alpha: Tensor
    core: Tensor
    kind: str
    oedema: Tensor | None = None
    push: Push | None = None
    fluid: bool = False


def no_lesion(classes: Tensor) -> Lesion:
    """Return the lesion of a healthy patch: nothing."""
    empty = torch.zeros(classes.shape)
    return Lesion(empty, empty, "none")


def draw_lesion(
    rng: Generator,
    shapes: list[LesionShape],
    classes: Tensor,
    start: tuple[int, int, int],
    kind: str | None = None,
) -> Lesion:
    """Draw a lesion for a patch of the brain.

    Args:
        rng: of the lesion.
        shapes: real shapes; without any, tumours take their place.
        classes: (I, J, K) classes of the patch; lesions stay in brain tissue.
        start: first template voxel of the patch.
        kind: of the lesion, a key of `KIND_SHARES` or `hole`, a tumour whose core is fluid; None
            draws one by `KIND_SHARES`.
    """
    tissue = _tissue(classes)
    drawn = _draw_kind(rng)
    kind = drawn if kind is None else kind
    if kind == "none" or int(tissue.sum()) < FEWEST_TISSUE_VOXELS:
        return no_lesion(classes)
    if kind in ("stroke", "ms") and shapes:
        wanted = [s for s in shapes if s.kind == kind] or shapes
        alpha = paste_shape(rng, wanted, tissue, start)
        hole = kind == "stroke" and chance(rng, 0.4)
        core = _draw_hole(rng, alpha) if hole else torch.zeros(classes.shape)
        lesion = Lesion(alpha, core, kind, fluid=hole)
    elif kind == "spots":
        lesion = Lesion(_draw_spots(rng, tissue), torch.zeros(classes.shape), kind)
    elif kind == "periventricular" and bool((classes == 1).any()):
        lesion = Lesion(_draw_periventricular(rng, classes), torch.zeros(classes.shape), kind)
    else:
        mass = kind if kind in ("haemorrhage", "hole") else "tumour"
        lesion = _draw_mass(rng, classes, tissue, mass)
    sigma = uniform(rng, 0.3, 1.3)
    if chance(rng, 0.4):  # no sharp border to see; the smallest lesions nearly vanish
        sigma = uniform(rng, 1.3, 3.5 if lesion.kind == "tumour" else 2.5)
    soft = gaussian_blur(lesion.alpha, (sigma, sigma, sigma)) * uniform(rng, 0.6, 1.0)
    return confine(replace(lesion, alpha=soft), classes)


def confine(lesion: Lesion, classes: Tensor) -> Lesion:
    """Keep a lesion in brain tissue and the sulci within it: out of ventricles and rim."""
    inside = _tissue(classes) | (classes == 2)
    allowed = gaussian_blur(inside.float(), (0.6, 0.6, 0.6))
    return replace(lesion, alpha=(lesion.alpha * allowed).clamp(0, 1))


def _tissue(classes: Tensor) -> Tensor:
    return (classes >= 3) & (classes <= 12)


def _draw_kind(rng: Generator) -> str:
    draw = uniform(rng, 0, sum(KIND_SHARES.values()))
    for kind, share in KIND_SHARES.items():
        draw -= share
        if draw < 0:
            return kind
    return next(reversed(KIND_SHARES))


def _blob_distance(rng: Generator, shape: torch.Size, centre: Tensor, radius: float) -> Tensor:
    """Distance from a centre in units of the radius, with an irregular outline."""
    size = (shape[0], shape[1], shape[2])
    stretch = torch.eye(3) + 0.25 * normal(rng, (3, 3))
    away = patch_grid((0, 0, 0), size) - centre.view(3, 1, 1, 1)
    distance: Tensor = torch.einsum("rc,cijk->rijk", stretch, away).norm(dim=0)
    rough = uniform(rng, 0.1, 0.45)
    return distance / radius + rough * smooth_field(rng, size, max(3.0, radius * 0.7))


def _draw_mass(rng: Generator, classes: Tensor, tissue: Tensor, kind: str) -> Lesion:
    """Draw a tumour (6 to 32 mm radius) or haemorrhage (4 to 20 mm).

    Half have an inner part of its own, in six of ten tumours with one a hole that leaves no more
    than a rim; six in ten an oedema that follows the white matter up to 2.2 radii, half push the
    brain aside by up to .4 radii.
    """
    hole = kind == "hole"
    kind = "tumour" if hole else kind
    radius = uniform(rng, 6, 32) if kind == "tumour" else uniform(rng, 4, 20)
    centre = random_place(rng, tissue)
    distance = _blob_distance(rng, classes.shape, centre, radius)
    solid = (distance < 1).float()
    core, oedema = torch.zeros_like(solid), None
    if hole or chance(rng, 0.5):
        hole = hole or (kind == "tumour" and chance(rng, 0.6))
        reach = uniform(rng, 0.7, 0.95) if hole else uniform(rng, 0.3, 0.75)
        core = gaussian_blur((distance < reach).float(), (0.8, 0.8, 0.8))
    if chance(rng, 0.6):
        reach, stop = uniform(rng, 1.3, 2.2), uniform(rng, 0.3, 0.9)
        white = ((classes >= WHITE) & (classes <= 12)).float()
        hindered = distance / reach + stop * (1 - gaussian_blur(white, (1.0, 1.0, 1.0)))
        sigma = uniform(rng, 0.8, 2.5)
        outer = gaussian_blur(((hindered < 1) & tissue).float(), (sigma, sigma, sigma))
        oedema = (1 - gaussian_blur(solid, (0.8, 0.8, 0.8))) * (outer > 0.05)
        solid = torch.maximum(solid, outer)
    push = None
    if chance(rng, 0.5):
        push = Push(centre, radius, radius * uniform(rng, 0.05, 0.4))
    return Lesion(solid, core, kind, oedema, push, hole)


def _draw_hole(rng: Generator, alpha: Tensor) -> Tensor:
    """Share of the fluid in an old infarct: all but a rim of some millimetres, (I, J, K)."""
    sigma = uniform(rng, 1.0, 3.0)
    inner = gaussian_blur(alpha, (sigma, sigma, sigma)) > uniform(rng, 0.6, 0.9)
    return gaussian_blur((inner & (alpha > 0)).float(), (0.8, 0.8, 0.8))


def _draw_spots(rng: Generator, tissue: Tensor) -> Tensor:
    """Draw one to six ellipsoids of 1.5 to 7 mm radius."""
    alpha = torch.zeros(tissue.shape)
    for _ in range(1 + integer(rng, 6)):
        radius = uniform(rng, 1.5, 7)
        centre = random_place(rng, tissue)
        blob = _blob_distance(rng, tissue.shape, centre, radius) < 1
        alpha = torch.maximum(alpha, blob.float())
    return alpha


def _draw_periventricular(rng: Generator, classes: Tensor) -> Tensor:
    """Draw caps and confluent lesions in the white matter around the ventricles, 2 to 12 mm."""
    sigma = uniform(rng, 1.5, 4.5)
    near = gaussian_blur((classes == 1).float(), (sigma, sigma, sigma))
    shape = (classes.shape[0], classes.shape[1], classes.shape[2])
    uneven = smooth_field(rng, shape, uniform(rng, 6, 20))
    grown = near + uniform(rng, 0.03, 0.12) * uneven
    return ((grown > uniform(rng, 0.05, 0.2)) & (classes == WHITE)).float()
