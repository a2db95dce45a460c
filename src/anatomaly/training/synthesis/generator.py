"""The generator of training pairs: two contrasts of one anatomy, with and without a lesion.

Every sample is a pure function of (seed, index), so a run that is killed and resumed, or drawn by
another number of workers, sees the same samples in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from anatomaly.geometry import MIDPLANE_INDEX, TEMPLATE_SHAPE
from anatomaly.preprocess.normalise import HIGH_PERCENTILE, HIGH_VALUE, LOW_PERCENTILE
from anatomaly.training.cohort import Subject
from anatomaly.training.synthesis import contrast as c
from anatomaly.training.synthesis.boxes import extent
from anatomaly.training.synthesis.deform import (
    patch_grid,
    push_coordinates,
    random_deformation,
    read_nearest,
)
from anatomaly.training.synthesis.healthy_images import THIN_STEP, HealthyImages, tissue_medians
from anatomaly.training.synthesis.label_maps import RIM
from anatomaly.training.synthesis.lesion_shapes import LesionShape
from anatomaly.training.synthesis.lesion_values import paint_lesion
from anatomaly.training.synthesis.lesions import Lesion, confine, draw_lesion
from anatomaly.training.synthesis.normal_variants import SoftTissue, widen_ventricles
from anatomaly.training.synthesis.random_draws import (
    Box,
    Draws,
    Rng,
    chance,
    integer,
    normal,
    uniform,
)
from anatomaly.training.synthesis.usual_places import add_usual_places
from anatomaly.training.synthesis.volumes import Volumes

WHOLE: Box = (slice(0, TEMPLATE_SHAPE[0]), slice(0, TEMPLATE_SHAPE[1]), slice(0, TEMPLATE_SHAPE[2]))
MEANS_ERROR = 0.04
"""Spread of the error of a tissue's estimated intensity, image units."""


class Pair(TypedDict):
    """One sample; P is the patch size, images lie in [0, 1] and are 0 outside the brain.

    Attributes:
        image: (2, 1, P, P, P) what the networks see: lesion, noise, residual bias.
        healthy: (2, 1, P, P, P) the same two contrasts without lesion, noise and bias.
        tissue: (P, P, P) int64, 0 to 3, of the healthy anatomy.
        brain: (1, P, P, P) float, 1 inside the brain mask.
        lesion: (1, P, P, P) float in [0, 1], share of lesion.
        start: (3,) first template voxel of the patch.
        sequence: (2,) index into `contrast.CONTRASTS`.
        tissue_means: (2, 3) about the intensity of CSF, grey and white matter in each image.
    """

    image: Tensor
    healthy: Tensor
    tissue: Tensor
    brain: Tensor
    lesion: Tensor
    start: Tensor
    sequence: Tensor
    tissue_means: Tensor


@dataclass(frozen=True)
class GeneratorConfig:
    """What is drawn.

    Attributes:
        patch: side lengths of a sample in voxels (mm), multiples of 16.
        seed: of everything.
        sequence_shares: probability of T1w, T2w, FLAIR and random contrasts.
        lesions: draw lesions at all.
        images: draw images at all; without them `image` and `healthy` are empty.
        real_share: probability that a real scan, where there is one, is the source of an image.
        kinds: lesion kinds that sample 0, 1, 2, … have in turn; empty draws them by their shares.
        most_lesions: lesions of a sample, each beyond the first in a third of the samples.
        deform: bend the anatomy; without it every person is as they are, mirrored or not.
        inside: patches lie in the box around the person's brain as far as they fit, instead of
            anywhere on the grid, two thirds of which is background.
        sequences: of the two images; empty draws them by their shares.
    """

    patch: tuple[int, int, int] = (96, 96, 96)
    seed: int = 20261122
    sequence_shares: tuple[float, float, float, float] = (0.34, 0.30, 0.26, 0.10)
    lesions: bool = True
    images: bool = True
    real_share: float = 0.7
    kinds: tuple[str, ...] = ()
    most_lesions: int = 1
    deform: bool = True
    inside: bool = False
    sequences: tuple[str, ...] = ()


class Patient(NamedTuple):
    """Anatomy of a patch, with lesions.

    Attributes:
        subject: whose anatomy it is.
        start: first template voxel of the patch.
        coordinates: (3, I, J, K) template voxels to read the person from.
        classes: (I, J, K) of `label_maps`.
        lesions: of the patch.
    """

    subject: Subject
    start: tuple[int, int, int]
    coordinates: Tensor
    classes: Tensor
    lesions: list[Lesion]


class PairGenerator(Dataset[Pair]):
    """Draws pairs from healthy subjects; index i always gives the same pair.

    Args:
        subjects: healthy people.
        shapes: of real lesions.
        config: what is drawn.
        length: nominal number of samples.
        device: where pairs are drawn and stay. The CPU and another device draw different pairs of
            the same kind; volumes once read are kept on a device that is not the CPU.
    """

    real_pairs = False
    """Whether images are real where there are any; as of `HealthyImages`."""

    def __init__(
        self,
        subjects: list[Subject],
        shapes: list[LesionShape],
        config: GeneratorConfig | None = None,
        length: int = 10**9,
        device: torch.device | str = "cpu",
    ) -> None:
        self.subjects, self.shapes, self.length = subjects, shapes, length
        self.config = config or GeneratorConfig()
        self.volumes = Volumes(torch.device(device))
        shares, real_share = self.config.sequence_shares, self.config.real_share
        real_pairs = self.real_pairs and self.config.images
        self.images = HealthyImages(self.volumes, shares, real_share, real_pairs)

    def __len__(self) -> int:
        """Return the nominal number of samples."""
        return self.length

    def __getitem__(self, index: int) -> Pair:
        """Draw pair number `index`."""
        rng = Draws(self.config.seed * 1_000_003 + index, self.volumes.device)
        subject = self.subjects[integer(rng, len(self.subjects))]
        start = self._draw_start(rng, self._box_of(subject) if self.config.inside else WHOLE)
        patient = self._draw_patient(rng, index, subject, start)
        sequences = self.config.sequences
        contrasts = [c.draw_contrast(rng, sequence) for sequence in sequences]
        contrasts = contrasts or self.images.draw_contrasts(rng, subject)
        brain, tissue = self._draw_brain(rng, patient.classes, contrasts)
        share = _joint_share(patient.lesions, patient.classes)
        images, healthy, means = self._draw_images(rng, patient, contrasts, share, brain)
        numbers = [c.CONTRASTS.index(contrast.sequence) for contrast in contrasts]
        return Pair(
            image=images[:, None],
            healthy=healthy[:, None],
            tissue=tissue,
            brain=brain.float()[None],
            lesion=(share * brain)[None],
            start=torch.tensor(start, device=rng.device),
            sequence=torch.tensor(numbers, device=rng.device),
            tissue_means=means,
        )

    def _draw_patient(
        self, rng: Rng, index: int, subject: Subject, start: tuple[int, int, int]
    ) -> Patient:
        """Draw the anatomy of a patch (bent, mirrored, ventricles widened) and its lesions."""
        labels, size = self.volumes.whole(subject.labels), self.config.patch
        if self.config.deform:
            coordinates = random_deformation(rng, start, size)
        else:
            coordinates = patch_grid(start, size, rng.device)
        if chance(rng, 0.5):
            coordinates[0] = 2 * MIDPLANE_INDEX - coordinates[0]
        classes = read_nearest(labels, coordinates)
        widening = widen_ventricles(rng, classes) if self.config.deform else None
        if widening:
            coordinates = push_coordinates(coordinates, widening)
            classes = read_nearest(labels, coordinates)
        lesions = self._draw_lesions(rng, index, classes, start)
        for push in (lesion.push for lesion in lesions if lesion.push):
            coordinates = push_coordinates(coordinates, push)
            classes = read_nearest(labels, coordinates)
            lesions = [confine(lesion, classes) for lesion in lesions]
        return Patient(subject, start, coordinates, classes, lesions)

    def _draw_brain(
        self, rng: Rng, classes: Tensor, contrasts: list[c.Contrast]
    ) -> tuple[Tensor, Tensor]:
        """Brain mask, with a rim or peeled, and the tissue within it; (I, J, K) both."""
        rims = [c.rim_is_csf(contrast) for contrast in contrasts]
        keep_rim = chance(rng, 0.4) and all(rim or chance(rng, 0.5) for rim in rims)
        brain = (classes > 0) & ((classes != RIM) | keep_rim)
        if chance(rng, 0.3):
            brain = peel(brain)
        tissue = self.volumes.tissue_of_class[classes.int()].long()
        if keep_rim and all(rims):
            tissue[classes == RIM] = 1
        tissue[~brain] = 0
        return brain, tissue

    def _draw_images(
        self, rng: Rng, patient: Patient, contrasts: list[c.Contrast], share: Tensor, brain: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw what is seen, the same without lesion and noise, (2, I, J, K), and tissue means.

        A large bright lesion sets the upper percentile of a scan, and so darkens all the rest:
        its values are read as thinly as those of the brain.
        """
        acquisition = c.draw_acquisition(rng)
        if not self.config.images:
            nothing = torch.zeros(1, 0, device=rng.device)
            return nothing, nothing, nothing
        subject, start, coordinates, classes, lesions = patient
        scans = self.images.scans(subject).items()
        real = {name: self.volumes.read_linear(scan, coordinates) for name, scan in scans}
        tissue = self.volumes.tissue_of_class[self.images.thinly(subject, subject.labels).int()]
        soft = SoftTissue(classes)
        images, healthy, means = [], [], []
        for contrast in contrasts:
            clean, values = self.images.render(rng, subject, soft, real, contrast)
            tissue_values = tissue_medians(values, tissue)
            clean = add_usual_places(rng, clean, classes, start, contrast.sequence)
            noise = Draws(integer(rng, 2**31), rng.device)
            painted = clean
            for lesion in lesions:
                painted = paint_lesion(rng, painted, lesion, contrast)
            values = torch.cat([values, painted[share > 0.5][:: THIN_STEP**3]])
            low, extent = _window(rng, values, contrast.sequence)
            target = c.acquire(clean, acquisition)
            blurred = target if painted is clean else c.acquire(painted, acquisition)
            noisy = c.add_noise(noise, blurred, acquisition)
            healthy.append(_scale(target, (low, extent), brain))
            images.append(_scale(noisy, (low, extent), brain))
            estimate = (HIGH_VALUE * (tissue_values - low) / extent).clamp(0, 1)
            means.append(estimate + MEANS_ERROR * normal(rng, (3,)))
        return torch.stack(images), torch.stack(healthy), torch.stack(means)

    def _draw_lesions(
        self, rng: Rng, index: int, classes: Tensor, start: tuple[int, int, int]
    ) -> list[Lesion]:
        """Lesions of one sample; none if the configuration wants none."""
        if not self.config.lesions:
            return []
        kinds = self.config.kinds
        kind = kinds[index % len(kinds)] if kinds else None
        lesions = [draw_lesion(rng, self.shapes, classes, start, kind)]
        while len(lesions) < self.config.most_lesions and chance(rng, 1 / 3):
            lesions.append(draw_lesion(rng, self.shapes, classes, start, kind))
        return lesions

    def _draw_start(self, rng: Rng, box: Box) -> tuple[int, int, int]:
        """First voxel of the patch, uniform over a box on even voxels (the nets fold by two).

        Where the patch is longer than the box, it holds all of it.
        """
        starts = []
        for n, p, part in zip(TEMPLATE_SHAPE, self.config.patch, box, strict=True):
            ends = (part.start // 2, (part.stop - p + 1) // 2)
            low, high = max(0, min(ends)), min((n - p) // 2, max(ends))
            starts.append(2 * (low + integer(rng, high - low + 1)) if n > p else 0)
        return starts[0], starts[1], starts[2]

    def _box_of(self, subject: Subject) -> Box:
        """Box around the brain of a person, from every fifth voxel."""
        thin = self.volumes.every(subject.labels, THIN_STEP)
        i, j, k = (
            slice(THIN_STEP * part.start, THIN_STEP * part.stop)
            for part in extent((thin > 0) & (thin != RIM))
        )
        return i, j, k


class RealPairGenerator(PairGenerator):
    """Draws pairs whose first member, at least, is a real image; index i gives the same pair.

    Lesions, deformation, point spread, noise and scaling are those of `PairGenerator`.
    """

    real_pairs = True


def _joint_share(lesions: list[Lesion], classes: Tensor) -> Tensor:
    """Share of any lesion at each voxel, (I, J, K): 1 − Π (1 − share of each)."""
    healthy = torch.ones(classes.shape, device=classes.device)
    for lesion in lesions:
        healthy[lesion.box] *= 1 - lesion.alpha[lesion.box]
    return 1 - healthy


def peel(mask: Tensor) -> Tensor:
    """Take the outermost voxels off a mask (I, J, K), those that touch the outside at a corner too.

    What lies outside the grid counts as inside.
    """
    out = mask
    for axis, n in enumerate(mask.shape):
        inner = out.clone()
        inner.narrow(axis, 1, n - 1).logical_and_(out.narrow(axis, 0, n - 1))
        inner.narrow(axis, 0, n - 1).logical_and_(out.narrow(axis, 1, n - 1))
        out = inner
    return out


def _window(rng: Rng, values: Tensor, sequence: str) -> tuple[float, float]:
    """Lowest value of an image and its range, which `_scale` maps to 0 and .8.

    Real brains hold vessels and dura darker than the darkest tissue, so in all contrasts but T1w
    the lowest value lies anywhere between 0 and the percentile of the tissues.
    """
    low, high = _percentiles(values)
    if sequence != "T1w":
        low *= uniform(rng, 0, 1)
    return low, high - low


def _percentiles(values: Tensor) -> tuple[float, float]:
    """0.5th and 99.5th percentile, a little apart at least."""
    ends = torch.tensor([LOW_PERCENTILE / 100, HIGH_PERCENTILE / 100], device=values.device)
    low, high = torch.quantile(values, ends).tolist()
    return low, max(high, low + 0.05)


def _scale(image: Tensor, low_range: tuple[float, float], brain: Tensor) -> Tensor:
    """Scale to [0, 1] as `preprocess.normalise` does; 0 outside the brain."""
    low, extent = low_range
    return (image - low).mul_(HIGH_VALUE).div_(extent).clamp_(0, 1).mul_(brain)
