"""Pairs of real images: two sequences of one person, or one and a recoloured partner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.training.cohort import IMAGE_UNIT, Subject
from anatomaly.training.synthesis import contrast as c
from anatomaly.training.synthesis.generator import PairGenerator
from anatomaly.training.synthesis.healthy_images import (
    HealthyImages,
    can_recolour,
    class_landmarks,
    tissue_medians,
)
from anatomaly.training.synthesis.label_maps import CLASS_NAMES, TISSUE_OF_CLASS
from anatomaly.training.synthesis.normal_variants import SoftTissue, add_normal_variants
from anatomaly.training.synthesis.random_draws import Rng, chance, integer

PAIRED_SHARE = 0.8
"""How often both members are real, where a person has two sequences."""

_TISSUES = [c.CSF, c.CORTEX, c.WHITE]


@dataclass(frozen=True)
class RealContrast(c.Contrast):
    """Contrast of a real image: its class medians, for the lesions that are pasted in."""


class RealImages(HealthyImages):
    """Real images of a person as they are; where one has to be drawn, a real one recoloured."""

    def scans(self, subject: Subject) -> Mapping[str, NDArray[np.uint8]]:
        """All real images of the person."""
        return subject.images

    def draw_contrasts(self, rng: Rng, subject: Subject) -> list[c.Contrast]:
        """Choose a real sequence and its partner, real or drawn."""
        sequences = list(subject.images)
        if not sequences:
            return super().draw_contrasts(rng, subject)
        first = sequences.pop(integer(rng, len(sequences)))
        members: list[c.Contrast] = [self.measure(subject, first)]
        if sequences and chance(rng, PAIRED_SHARE):
            members.append(self.measure(subject, sequences[integer(rng, len(sequences))]))
        else:
            members.append(self.draw_contrast(rng))
        return members

    def measure(self, subject: Subject, sequence: str) -> RealContrast:
        """Median of each class, image units; a class that is not there has its tissue's."""
        classes = self.thinly(subject, subject.labels)
        values = self.thinly(subject, subject.images[sequence]).float()
        of_tissue = tissue_medians(values, self.volumes.tissue_of_class[classes.int()])
        means = torch.zeros(len(CLASS_NAMES), device="cpu")
        for index in range(1, len(CLASS_NAMES)):
            own = values[classes == index]
            fallback = of_tissue[max(1, int(TISSUE_OF_CLASS[index])) - 1]
            means[index] = own.median() if len(own) else fallback
        return RealContrast(sequence, means / IMAGE_UNIT, torch.zeros_like(means))

    def render(
        self,
        rng: Rng,
        subject: Subject,
        soft: SoftTissue,
        real: Mapping[str, Tensor],
        contrast: c.Contrast,
    ) -> tuple[Tensor, Tensor]:
        """Return the real image of the contrast, or recolour the first one that can be."""
        if isinstance(contrast, RealContrast):
            values = self.thinly(subject, subject.images[contrast.sequence]).float()
            return real[contrast.sequence] / IMAGE_UNIT, values / IMAGE_UNIT
        classes = self.thinly(subject, subject.labels)
        for sequence in real:
            values = self.thinly(subject, subject.images[sequence]).float()
            curve = recolouring(rng, class_landmarks(values, classes), contrast)
            if curve is not None:
                image = c.remap(real[sequence], curve)
                image = add_normal_variants(rng, image, soft, contrast.sequence)
                return image, c.remap(values, curve)
        return super().render(rng, subject, soft, {}, contrast)


class RealPairGenerator(PairGenerator):
    """Draws pairs whose first member, at least, is a real image; index i gives the same pair.

    Lesions, deformation, point spread, noise and scaling are those of `PairGenerator`. The partner
    is another real sequence of the person (four times of five, where there is one), else the first
    image with the tissue intensities of a drawn contrast: T1w, T2w, FLAIR or random.
    """

    images_of = RealImages


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
    if not can_recolour(rising):
        return None
    means = contrast.means.clone()
    means[_TISSUES] = contrast.means[_TISSUES][order]
    return c.tone_curve(rng, rising, replace(contrast, means=means))
