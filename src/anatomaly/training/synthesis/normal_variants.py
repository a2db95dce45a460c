"""What differs between healthy brains and is no lesion: greys, CSF flow, rims, wide ventricles.

Real T1w scans recoloured as T2w or FLAIR do not have these, and a network that never met them
calls them lesions.
"""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from anatomaly.training.synthesis.boxes import SOFT, blur_within, extent
from anatomaly.training.synthesis.contrast import WHITE
from anatomaly.training.synthesis.deform import Push
from anatomaly.training.synthesis.random_draws import (
    Rng,
    chance,
    gaussian_blur,
    integer,
    smooth_field,
    uniform,
)


class SoftTissue:
    """Classes (I, J, K) of a sample and their blurred masks, computed once for all its images."""

    def __init__(self, classes: Tensor) -> None:
        self.classes = classes

    @cached_property
    def grey(self) -> Tensor:
        """Grey matter, σ .8."""
        return self._blurred(3, 8)

    @cached_property
    def white(self) -> Tensor:
        """White matter and brainstem, σ .8."""
        return self._blurred(WHITE, 12)

    @cached_property
    def csf(self) -> Tensor:
        """CSF, σ .8."""
        return self._blurred(1, 2)

    def _blurred(self, first: int, last: int) -> Tensor:
        return gaussian_blur(((self.classes >= first) & (self.classes <= last)).float(), SOFT)


def add_normal_variants(rng: Rng, image: Tensor, tissue: SoftTissue, sequence: str) -> Tensor:
    """Vary a healthy image (I, J, K) as healthy people vary; a new image.

    Grey matter by a smooth field of spread 0 to .05 (white matter 0 to .025) over 20 to 60 mm; in
    40 % CSF by up to .15, brighter in FLAIR and T1w (inflow), darker in T2w (flow voids); in 70 %
    of the FLAIR images a rim of 1 to 4 mm around the ventricles, up to .2 brighter.
    """
    shape = image.shape
    spacing = uniform(rng, 20, 60)
    strength = uniform(rng, 0, 0.05)
    out = image + smooth_field(rng, shape, spacing).mul_(strength).mul_(tissue.grey)
    strength = uniform(rng, 0, 0.025)
    out.add_(smooth_field(rng, shape, spacing).mul_(strength).mul_(tissue.white))
    if chance(rng, 0.4):
        flow = smooth_field(rng, shape, uniform(rng, 6, 30)).clamp_(min=0)
        strength = uniform(rng, 0, 0.15)
        flow.mul_(-strength if sequence == "T2w" else strength)
        out.add_(flow.mul_(tissue.csf))
    if sequence == "FLAIR" and chance(rng, 0.7):
        ventricle = tissue.classes == 1
        near, box = blur_within(ventricle, uniform(rng, 0.6, 2.0), extent(ventricle))
        near = near.mul_(2.5).clamp_(max=1).mul_(uniform(rng, 0, 0.2))
        out[box] += near * tissue.white[box]
    return out.clamp_(min=-0.1)


def widen_ventricles(rng: Rng, classes: Tensor) -> Push | None:
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
