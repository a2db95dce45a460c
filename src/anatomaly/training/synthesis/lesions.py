"""Synthetic lesions: where they lie, what they are made of, and how they push the brain aside.

Real shapes (stroke, MS) and drawn ones (tumours with core and oedema, haemorrhages, spots,
periventricular white-matter lesions). How they look in a sequence: `lesion_values`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from anatomaly.training.synthesis.boxes import (
    SOFT,
    blur_within,
    blurred_part,
    box_between,
    extent,
    put_back,
)
from anatomaly.training.synthesis.contrast import WHITE
from anatomaly.training.synthesis.deform import Push, box_grid
from anatomaly.training.synthesis.lesion_shapes import LesionShape, paste_shape, random_place
from anatomaly.training.synthesis.random_draws import (
    Box,
    Rng,
    chance,
    draw_coarse,
    integer,
    normal,
    pick,
    refine,
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

    @cached_property
    def box(self) -> Box:
        """Where it lies."""
        return extent(self.alpha > 0)


def draw_lesion(
    rng: Rng,
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
    drawn = pick(rng, KIND_SHARES)
    kind = drawn if kind is None else kind
    if kind == "none" or int(tissue.sum()) < FEWEST_TISSUE_VOXELS:
        empty = torch.zeros(classes.shape, device=classes.device)
        return Lesion(empty, empty, "none")
    if kind in ("stroke", "ms") and shapes:
        wanted = [s for s in shapes if s.kind == kind] or shapes
        alpha = paste_shape(rng, wanted, tissue, start)
        hole = kind == "stroke" and chance(rng, 0.4)
        core = _draw_hole(rng, alpha) if hole else torch.zeros_like(alpha)
        lesion = Lesion(alpha, core, kind, fluid=hole)
    elif kind == "spots":
        alpha = _draw_spots(rng, tissue)
        lesion = Lesion(alpha, torch.zeros_like(alpha), kind)
    elif kind == "periventricular" and bool((classes == 1).any()):
        alpha = _draw_periventricular(rng, classes)
        lesion = Lesion(alpha, torch.zeros_like(alpha), kind)
    else:
        mass = kind if kind in ("haemorrhage", "hole") else "tumour"
        lesion = _draw_mass(rng, classes, tissue, mass)
    sigma = uniform(rng, 0.3, 1.3)
    if chance(rng, 0.4):  # no sharp border to see; the smallest lesions nearly vanish
        sigma = uniform(rng, 1.3, 3.5 if lesion.kind == "tumour" else 2.5)
    soft, box = blur_within(lesion.alpha, sigma, lesion.box)
    soft = put_back(soft * uniform(rng, 0.6, 1.0), box, classes.shape)
    return confine(replace(lesion, alpha=soft), classes)


def confine(lesion: Lesion, classes: Tensor) -> Lesion:
    """Keep a lesion in brain tissue and the sulci within it: out of ventricles and rim."""
    allowed = blurred_part(_tissue(classes) | (classes == 2), 0.6, lesion.box)
    alpha = (lesion.alpha[lesion.box] * allowed).clamp(0, 1)
    return replace(lesion, alpha=put_back(alpha, lesion.box, classes.shape))


def _tissue(classes: Tensor) -> Tensor:
    return (classes >= 3) & (classes <= 12)


@dataclass(frozen=True)
class _Blob:
    """A drawn, irregular ball.

    Attributes:
        stretch: (3, 3), from voxels to what distances are taken in.
        centre: (3,) voxel.
        radius: voxels.
        rough: weight of the field that makes the outline irregular.
        field: its coarse values.
        shape: of the grid.
    """

    stretch: Tensor
    centre: Tensor
    radius: float
    rough: float
    field: Tensor
    shape: torch.Size

    def box(self, reach: float) -> Box:
        """Return a box that holds all places nearer than `reach`."""
        farthest = self.radius * 1.01 * (reach + self.rough * float(self.field.abs().max())) + 1
        # an ellipsoid |S x| = r has half-widths r · sqrt(diag((SᵀS)⁻¹)): the row norms of S⁻¹
        widths = torch.linalg.inv(self.stretch.double().cpu()).norm(dim=1) * farthest
        centre = self.centre.double().cpu()
        low, high = (centre - widths).tolist(), (centre + widths + 1).tolist()
        return box_between(low, high, self.shape)

    def distance(self, box: Box) -> Tensor:
        """Distance from the centre in units of the radius, in a box."""
        away = box_grid(box, self.centre.device) - self.centre.view(3, 1, 1, 1)
        distance: Tensor = torch.einsum("rc,cijk->rijk", self.stretch, away).norm(dim=0)
        return distance / self.radius + self.rough * refine(self.field, self.shape, box)


def _draw_blob(rng: Rng, shape: torch.Size, centre: Tensor, radius: float) -> _Blob:
    """Draw a ball that is stretched by a quarter (σ) and rough by .1 to .45."""
    stretch = torch.eye(3, device=centre.device) + 0.25 * normal(rng, (3, 3))
    rough = uniform(rng, 0.1, 0.45)
    field = draw_coarse(rng, shape, max(3.0, radius * 0.7))
    return _Blob(stretch, centre, radius, rough, field, shape)


def _draw_mass(rng: Rng, classes: Tensor, tissue: Tensor, kind: str) -> Lesion:
    """Draw a tumour (6 to 32 mm radius) or haemorrhage (4 to 20 mm).

    Half have an inner part of its own, in six of ten tumours with one a hole that leaves no more
    than a rim; six in ten an oedema that follows the white matter up to 2.2 radii, half push the
    brain aside by up to .4 radii.
    """
    hole = kind == "hole"
    kind = "tumour" if hole else kind
    radius = uniform(rng, 6, 32) if kind == "tumour" else uniform(rng, 4, 20)
    centre = random_place(rng, tissue)
    blob = _draw_blob(rng, classes.shape, centre, radius)
    inner, oedema_draws, push = 0.0, None, None
    if hole or chance(rng, 0.5):
        hole = hole or (kind == "tumour" and chance(rng, 0.6))
        inner = uniform(rng, 0.7, 0.95) if hole else uniform(rng, 0.3, 0.75)
    if chance(rng, 0.6):
        oedema_draws = uniform(rng, 1.3, 2.2), uniform(rng, 0.3, 0.9), uniform(rng, 0.8, 2.5)
    if chance(rng, 0.5):
        push = Push(centre, radius, radius * uniform(rng, 0.05, 0.4))
    ball = blob.box(oedema_draws[0] if oedema_draws else 1.0)
    distance = blob.distance(ball)
    solid = put_back((distance < 1).float(), ball, classes.shape)
    core, oedema = torch.zeros_like(solid), None
    if inner:
        soft = put_back((distance < inner).float(), ball, classes.shape)
        core = put_back(*blur_within(soft, SOFT, ball), classes.shape)
    if oedema_draws:
        oedema, outer = _draw_oedema(classes, tissue, solid, (distance, ball), oedema_draws)
        solid = torch.maximum(solid, outer)
    return Lesion(solid, core, kind, oedema, push, hole)


def _draw_oedema(
    classes: Tensor,
    tissue: Tensor,
    solid: Tensor,
    ball: tuple[Tensor, Box],
    draws: tuple[float, float, float],
) -> tuple[Tensor, Tensor]:
    """Share of the oedema, and of the lesion with it, each (I, J, K).

    Args:
        classes: (I, J, K).
        tissue: (I, J, K).
        solid: the mass, (I, J, K).
        ball: distance from the centre in radii, in a box, and that box.
        draws: reach in radii, by how much less outside white matter, softness.
    """
    (distance, box), (reach, stop, sigma) = ball, draws
    white = (classes >= WHITE) & (classes <= 12)
    hindered = distance / reach + stop * (1 - blurred_part(white, 1.0, box))
    reached = put_back((hindered < 1) & tissue[box], box, classes.shape)
    outer, wide = blur_within(reached, sigma, box)
    share = (1 - blurred_part(solid, SOFT, wide)) * (outer > 0.05)
    return put_back(share, wide, classes.shape), put_back(outer, wide, classes.shape)


def _draw_hole(rng: Rng, alpha: Tensor) -> Tensor:
    """Share of the fluid in an old infarct: all but a rim of some millimetres, (I, J, K)."""
    box = extent(alpha > 0)
    soft = blurred_part(alpha, uniform(rng, 1.0, 3.0), box)
    inner = (soft > uniform(rng, 0.6, 0.9)) & (alpha[box] > 0)
    return put_back(*blur_within(put_back(inner, box, alpha.shape), SOFT, box), alpha.shape)


def _draw_spots(rng: Rng, tissue: Tensor) -> Tensor:
    """Draw one to six ellipsoids of 1.5 to 7 mm radius."""
    alpha = torch.zeros(tissue.shape, device=tissue.device)
    for _ in range(1 + integer(rng, 6)):
        radius = uniform(rng, 1.5, 7)
        blob = _draw_blob(rng, tissue.shape, random_place(rng, tissue), radius)
        box = blob.box(1.0)
        alpha[box] = torch.maximum(alpha[box], (blob.distance(box) < 1).float())
    return alpha


def _draw_periventricular(rng: Rng, classes: Tensor) -> Tensor:
    """Draw caps and confluent lesions in the white matter around the ventricles, 2 to 12 mm."""
    sigma = uniform(rng, 1.5, 4.5)
    ventricle = classes == 1
    near = put_back(*blur_within(ventricle, sigma, extent(ventricle)), classes.shape)
    uneven = smooth_field(rng, classes.shape, uniform(rng, 6, 20))
    grown = near + uniform(rng, 0.03, 0.12) * uneven
    return ((grown > uniform(rng, 0.05, 0.2)) & (classes == WHITE)).float()
