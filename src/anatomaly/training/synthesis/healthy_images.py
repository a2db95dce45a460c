"""Healthy images of a person: from the class map, or a real scan with other tissue intensities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.training.cohort import Subject
from anatomaly.training.synthesis import contrast as c
from anatomaly.training.synthesis.label_maps import RIM
from anatomaly.training.synthesis.normal_variants import SoftTissue, add_normal_variants
from anatomaly.training.synthesis.random_draws import Rng, chance, normal, pick
from anatomaly.training.synthesis.volumes import Volumes

THIN_STEP = 5
"""Statistics of a brain are those of every so manieth voxel along each axis."""

LEAST_CONTRAST = 5
"""Grey values of 255 between neighbouring tissues below which an image cannot be recoloured."""


class HealthyImages:
    """Draws contrasts, and a healthy image in each; a real T1w scan is used where there is one.

    Args:
        volumes: reads the people.
        sequence_shares: probability of each of `contrast.CONTRASTS`.
        real_share: probability that a real scan is the source of an image.
    """

    def __init__(
        self, volumes: Volumes, sequence_shares: tuple[float, ...], real_share: float
    ) -> None:
        self.volumes, self.real_share = volumes, real_share
        self.sequence_shares = dict(zip(c.CONTRASTS, sequence_shares, strict=True))

    def scans(self, subject: Subject) -> Mapping[str, NDArray[np.uint8]]:
        """Real images that are read where the patch lies, by their sequence."""
        return {} if subject.image is None else {"T1w": subject.image}

    def draw_contrasts(self, rng: Rng, subject: Subject) -> list[c.Contrast]:
        """Draw the contrasts of the two images of a sample."""
        del subject
        return [self.draw_contrast(rng) for _ in range(2)]

    def draw_contrast(self, rng: Rng) -> c.Contrast:
        """Draw a contrast of a sequence drawn by its share."""
        return c.draw_contrast(rng, pick(rng, self.sequence_shares))

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
        classes = self.thinly(subject, subject.labels)
        if subject.image is not None and "T1w" in real and chance(rng, self.real_share):
            grey = self.thinly(subject, subject.image).float()
            landmarks = class_landmarks(grey, classes)
            if can_recolour(landmarks):
                curve = c.tone_curve(rng, landmarks, contrast)
                image = c.remap(real["T1w"], curve)
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


def can_recolour(landmarks: Tensor) -> bool:
    """Tell whether three grey values rise, each by more than `LEAST_CONTRAST`."""
    return bool((landmarks[1:] > landmarks[:-1] + LEAST_CONTRAST).all())


def class_landmarks(grey: Tensor, classes: Tensor) -> Tensor:
    """Median grey value of ventricular CSF, cortex and cerebral white matter, (3,)."""
    return torch.stack([grey[classes == k].median() for k in (1, c.CORTEX, c.WHITE)])


def tissue_medians(values: Tensor, tissue: Tensor) -> Tensor:
    """Median of CSF, grey and white matter values, (3,)."""
    return torch.stack([values[tissue == k].median() for k in (1, 2, 3)])
