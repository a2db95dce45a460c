"""Healthy images of a person: from the class map, or real scans, as they are or recoloured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.training.cohort import IMAGE_UNIT, Subject
from anatomaly.training.synthesis import contrast as c
from anatomaly.training.synthesis.label_maps import CLASS_NAMES, RIM, TISSUE_OF_CLASS
from anatomaly.training.synthesis.normal_variants import SoftTissue, add_normal_variants
from anatomaly.training.synthesis.random_draws import Rng, chance, integer, normal, pick
from anatomaly.training.synthesis.volumes import Volumes

THIN_STEP = 5
"""Statistics of a brain are those of every so manieth voxel along each axis."""

PAIRED_SHARE = 0.8
"""How often both members are real, where a person has two sequences."""

LEAST_CONTRAST = 5
"""Grey values of 255 between neighbouring tissues below which an image cannot be recoloured."""

_TISSUES = [c.CSF, c.CORTEX, c.WHITE]


@dataclass(frozen=True)
class RealContrast(c.Contrast):
    """Contrast of a real image: its class medians, for the lesions that are pasted in."""


class HealthyImages:
    """Draws the contrasts of a sample, and a healthy image in each.

    Args:
        volumes: reads the people.
        sequence_shares: probability of each of `contrast.CONTRASTS`.
        real_share: probability that a real T1w scan, recoloured, is the source of an image.
        real_pairs: whether the first image is a real one, and its partner another sequence of the
            person (four times of five, where there is one), else the first image recoloured.
    """

    def __init__(
        self,
        volumes: Volumes,
        sequence_shares: tuple[float, ...],
        real_share: float,
        real_pairs: bool,
    ) -> None:
        self.volumes, self.real_share, self.real_pairs = volumes, real_share, real_pairs
        self.sequence_shares = dict(zip(c.CONTRASTS, sequence_shares, strict=True))

    def scans(self, subject: Subject) -> dict[str, NDArray[np.uint8]]:
        """Real images that are read where the patch lies, by their sequence."""
        return {k: v for k, v in subject.images.items() if self.real_pairs or k == "T1w"}

    def draw_contrasts(self, rng: Rng, subject: Subject) -> list[c.Contrast]:
        """Draw the contrasts of the two images of a sample."""
        sequences = list(subject.images) if self.real_pairs else []
        if not sequences:
            return [self.draw_contrast(rng) for _ in range(2)]
        first = self.measure(subject, sequences.pop(integer(rng, len(sequences))))
        if sequences and chance(rng, PAIRED_SHARE):
            return [first, self.measure(subject, sequences[integer(rng, len(sequences))])]
        return [first, self.draw_contrast(rng)]

    def draw_contrast(self, rng: Rng) -> c.Contrast:
        """Draw a contrast of a sequence drawn by its share."""
        return c.draw_contrast(rng, pick(rng, self.sequence_shares))

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
        """Draw one healthy image.

        Args:
            rng: of the image.
            subject: whose it is.
            soft: classes of the patch.
            real: `scans` where the patch lies, (I, J, K) grey values.
            contrast: wanted.

        Returns:
            The image (I, J, K), and values (N,) all over the brain, as thin as `thinly` reads it.
        """
        if isinstance(contrast, RealContrast):
            values = self.thinly(subject, subject.images[contrast.sequence]).float()
            return real[contrast.sequence] / IMAGE_UNIT, values / IMAGE_UNIT
        classes = self.thinly(subject, subject.labels)
        recolour = self.real_pairs or (bool(real) and chance(rng, self.real_share))
        for sequence in real if recolour else ():
            grey = self.thinly(subject, subject.images[sequence]).float()
            landmarks = class_landmarks(grey, classes)
            curve = recolouring(rng, landmarks, contrast, any_order=self.real_pairs)
            if curve is not None:
                image = c.remap(real[sequence], curve)
                if not self.real_pairs:
                    image[soft.classes == RIM] = contrast.means[RIM].to(image.device)
                image = add_normal_variants(rng, image, soft, contrast.sequence)
                return image, c.remap(grey, curve)
        image = c.render_classes(rng, soft.classes, contrast)
        image = add_normal_variants(rng, image, soft, contrast.sequence)
        values = contrast.means.to(rng.device)[classes.int()]
        return image, values + 0.03 * normal(rng, values.shape)

    def thinly(self, subject: Subject, volume: NDArray[np.uint8]) -> Tensor:
        """Read a volume of a person at every fifth voxel of the brain, (N,) uint8."""
        classes = self.volumes.every(subject.labels, THIN_STEP)
        return self.volumes.every(volume, THIN_STEP)[(classes > 0) & (classes != RIM)]


def recolouring(
    rng: Rng, landmarks: Tensor, contrast: c.Contrast, any_order: bool = True
) -> Tensor | None:
    """Tone curve (257,) from an image to a drawn contrast.

    Args:
        rng: of `contrast.tone_curve`.
        landmarks: (3,) grey values of CSF, cortex and white matter.
        contrast: wanted means.
        any_order: whether the landmarks may fall, as those of other sequences than T1w do.

    Returns:
        None if two tissues are too alike to be told apart by their grey value.
    """
    landmarks = landmarks.cpu()
    order = landmarks.argsort() if any_order else torch.arange(3, device="cpu")
    rising = landmarks[order]
    if not bool((rising[1:] > rising[:-1] + LEAST_CONTRAST).all()):
        return None
    means = contrast.means.clone()
    means[_TISSUES] = contrast.means[_TISSUES][order]
    return c.tone_curve(rng, rising, replace(contrast, means=means))


def class_landmarks(grey: Tensor, classes: Tensor) -> Tensor:
    """Median grey value of ventricular CSF, cortex and cerebral white matter, (3,)."""
    return torch.stack([grey[classes == k].median() for k in (1, c.CORTEX, c.WHITE)])


def tissue_medians(values: Tensor, tissue: Tensor) -> Tensor:
    """Median of CSF, grey and white matter values, (3,)."""
    return torch.stack([values[tissue == k].median() for k in (1, 2, 3)])
