"""Pairs of real images: two sequences of one person, or one and a recoloured partner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from anatomaly.training.cohort import IMAGE_UNIT, Subject
from anatomaly.training.synthesis import contrast as c
from anatomaly.training.synthesis.generator import (
    PairGenerator,
    class_landmarks,
    tissue_medians,
)
from anatomaly.training.synthesis.label_maps import CLASS_NAMES, RIM, TISSUE_OF_CLASS
from anatomaly.training.synthesis.normal_variants import SoftTissue, add_normal_variants
from anatomaly.training.synthesis.random_draws import (
    Rng,
    chance,
    integer,
)

PAIRED_SHARE = 0.8
"""How often both members are real, where a person has two sequences."""

LEAST_CONTRAST = 5
"""Grey values of 255 between neighbouring tissues below which an image cannot be recoloured."""

_TISSUES = [c.CSF, c.CORTEX, c.WHITE]


@dataclass(frozen=True)
class RealContrast(c.Contrast):
    """Contrast of a real image: its class medians, for the lesions that are pasted in."""


class RealPairGenerator(PairGenerator):
    """Draws pairs whose first member, at least, is a real image; index i gives the same pair.

    Lesions, deformation, point spread, noise and scaling are those of `PairGenerator`. The partner
    is another real sequence of the person (four times of five, where there is one), else the first
    image with the tissue intensities of a drawn contrast: T1w, T2w, FLAIR or random.
    """

    def _sources(self, subject: Subject) -> dict[str, np.ndarray]:
        return dict(subject.images)

    def _draw_contrasts(self, rng: Rng, subject: Subject) -> list[c.Contrast]:
        sequences = list(subject.images)
        if not sequences or not self.config.images:
            return super()._draw_contrasts(rng, subject)
        first = sequences.pop(integer(rng, len(sequences)))
        members: list[c.Contrast] = [self._measure(subject, first)]
        if sequences and chance(rng, PAIRED_SHARE):
            members.append(self._measure(subject, sequences[integer(rng, len(sequences))]))
        else:
            members.append(c.draw_contrast(rng, self._draw_sequence(rng)))
        return members

    def _coarse(self, subject: Subject, volume: np.ndarray) -> tuple[Tensor, Tensor]:
        """Classes and values (255 grey values) of the brain, thinly read."""
        step = self.config._coarse_step
        classes, values = (self.volumes.every(a, step) for a in (subject.labels, volume))
        inside = (classes > 0) & (classes != RIM)
        return classes[inside], values[inside].float()

    def _measure(self, subject: Subject, sequence: str) -> RealContrast:
        """Median of each class, image units; a class that is not there has its tissue's."""
        classes, values = self._coarse(subject, subject.images[sequence])
        tissue = self.volumes.tissue_of_class
        of_tissue = tissue_medians(values, tissue[classes.int()])
        means = torch.zeros(len(CLASS_NAMES), device="cpu")
        for index in range(1, len(CLASS_NAMES)):
            own = values[classes == index]
            fallback = of_tissue[max(1, int(TISSUE_OF_CLASS[index])) - 1]
            means[index] = own.median() if len(own) else fallback
        texture = torch.zeros(len(CLASS_NAMES), device="cpu")
        return RealContrast(sequence, means / IMAGE_UNIT, texture)

    def _render(
        self,
        rng: Rng,
        subject: Subject,
        soft: SoftTissue,
        real: Mapping[str, Tensor],
        contrast: c.Contrast,
    ) -> tuple[Tensor, Tensor, Tensor]:
        if isinstance(contrast, RealContrast):
            inside, values = self._coarse(subject, subject.images[contrast.sequence])
            tissue = self.volumes.tissue_of_class[inside.int()]
            values = values / IMAGE_UNIT
            return real[contrast.sequence] / IMAGE_UNIT, values, tissue_medians(values, tissue)
        for sequence in real:
            inside, values = self._coarse(subject, subject.images[sequence])
            landmarks = class_landmarks(values, inside)
            curve = recolouring(rng, landmarks, contrast)
            if curve is None:
                continue
            image = c.remap(real[sequence], curve)
            image = add_normal_variants(rng, image, soft, contrast.sequence)
            tissue = self.volumes.tissue_of_class[inside.int()]
            values = c.remap(values, curve)
            return image, values, tissue_medians(values, tissue)
        return super()._render(rng, subject, soft, {}, contrast)


def recolouring(rng: Rng, landmarks: Tensor, contrast: c.Contrast) -> Tensor | None:
    """Tone curve (257,) from an image of any sequence to a drawn contrast.

    Args:
        rng: of `contrast.tone_curve`.
        landmarks: (3,) grey values of CSF, cortex and white matter, in any order.
        contrast: wanted means.

    Returns:
        None if two tissues are too alike to be told apart by their grey value.
    """
    landmarks = landmarks.cpu()
    order = landmarks.argsort()
    rising = landmarks[order]
    if not bool((rising[1:] > rising[:-1] + LEAST_CONTRAST).all()):
        return None
    means = contrast.means.clone()
    means[_TISSUES] = contrast.means[_TISSUES][order]
    return c.tone_curve(rng, rising, replace(contrast, means=means))
