"""The generator of training pairs: two contrasts of one anatomy, with and without a lesion.

Every sample is a pure function of (seed, index), so a run that is killed and resumed, or drawn by
another number of workers, sees the same samples in the same order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from anatomaly.geometry import MIDPLANE_INDEX, TEMPLATE_SHAPE
from anatomaly.preprocess.normalise import HIGH_VALUE
from anatomaly.training.cohort import Subject
from anatomaly.training.synthesis import contrast as c
from anatomaly.training.synthesis.deform import (
    patch_grid,
    push_coordinates,
    random_deformation,
    read_linear,
    read_nearest,
)
from anatomaly.training.synthesis.label_maps import RIM, TISSUE_OF_CLASS
from anatomaly.training.synthesis.lesion_shapes import LesionShape
from anatomaly.training.synthesis.lesion_values import paint_lesion
from anatomaly.training.synthesis.lesions import Lesion, confine, draw_lesion
from anatomaly.training.synthesis.normal_variants import (
    add_normal_variants,
    widen_ventricles,
)
from anatomaly.training.synthesis.random_draws import chance, integer, normal, uniform
from anatomaly.training.synthesis.usual_places import add_usual_places

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
    _coarse_step: int = field(default=5, repr=False)


class PairGenerator(Dataset[Pair]):
    """Draws pairs from healthy subjects; index i always gives the same pair."""

    def __init__(
        self,
        subjects: list[Subject],
        shapes: list[LesionShape],
        config: GeneratorConfig | None = None,
        length: int = 10**9,
    ) -> None:
        self.subjects, self.shapes, self.length = subjects, shapes, length
        self.config = config or GeneratorConfig()

    def __len__(self) -> int:
        """Return the nominal number of samples."""
        return self.length

    def __getitem__(self, index: int) -> Pair:
        """Draw pair number `index`."""
        rng = torch.Generator().manual_seed(self.config.seed * 1_000_003 + index)
        subject = self.subjects[integer(rng, len(self.subjects))]
        start = self._draw_start(rng)
        labels = torch.from_numpy(np.array(subject.labels))
        coordinates, classes = self._draw_anatomy(rng, labels, start)
        lesions = self._draw_lesions(rng, index, classes, start)
        for push in (lesion.push for lesion in lesions if lesion.push):
            coordinates = push_coordinates(coordinates, push)
            classes = read_nearest(labels, coordinates)
            lesions = [confine(lesion, classes) for lesion in lesions]
        real = {}
        if self.config.images:
            real = {k: read_crop(v, coordinates) for k, v in self._sources(subject).items()}
        contrasts = self._draw_contrasts(rng, subject)
        keep_rim = chance(rng, 0.4) and all(c.rim_is_csf(k) or chance(rng, 0.5) for k in contrasts)
        tight = chance(rng, 0.3)
        brain = (classes > 0) & ((classes != RIM) | keep_rim)
        if tight:
            outside = (~brain).float()[None, None]
            brain = torch.nn.functional.max_pool3d(outside, 3, 1, 1)[0, 0] < 0.5
        share = _joint_share(lesions, classes)
        acquisition = c.draw_acquisition(rng)
        images, healthy, means = [], [], []
        for contrast in contrasts if self.config.images else ():
            clean, values, tissue_values = self._render(rng, subject, classes, real, contrast)
            clean = add_usual_places(rng, clean, classes, start, contrast.sequence)
            noise_seed = integer(rng, 2**31)
            painted = clean
            for lesion in lesions:
                painted = paint_lesion(rng, painted, lesion, contrast)
            values = torch.cat([values, self._lesion_values(painted, share)])
            low, extent = _window(rng, values, contrast.sequence)
            target = c.acquire(clean, acquisition)
            noise = torch.Generator().manual_seed(noise_seed)
            seen = c.add_noise(noise, c.acquire(painted, acquisition), acquisition)
            healthy.append(_scale(target, (low, extent), brain))
            images.append(_scale(seen, (low, extent), brain))
            estimated = (HIGH_VALUE * (tissue_values - low) / extent).clamp(0, 1)
            means.append(estimated + MEANS_ERROR * normal(rng, (3,)))
        tissue = torch.from_numpy(TISSUE_OF_CLASS)[classes.long()].long()
        if keep_rim and all(c.rim_is_csf(k) for k in contrasts):
            tissue[classes == RIM] = 1
        tissue[~brain] = 0
        if not self.config.images:
            images = healthy = [torch.zeros(0)]
            means = [torch.zeros(0)]
        return Pair(
            image=torch.stack(images)[:, None],
            healthy=torch.stack(healthy)[:, None],
            tissue=tissue,
            brain=brain.float()[None],
            lesion=(share * brain)[None],
            start=torch.tensor(start),
            sequence=torch.tensor([c.CONTRASTS.index(k.sequence) for k in contrasts]),
            tissue_means=torch.stack(means),
        )

    def _draw_anatomy(
        self, rng: Generator, labels: Tensor, start: tuple[int, int, int]
    ) -> tuple[Tensor, Tensor]:
        """Where a patch reads the healthy person (bent, mirrored, ventricles widened), and what."""
        bend, size = self.config.deform, self.config.patch
        coordinates = random_deformation(rng, start, size) if bend else patch_grid(start, size)
        if chance(rng, 0.5):
            coordinates[0] = 2 * MIDPLANE_INDEX - coordinates[0]
        classes = read_nearest(labels, coordinates)
        widening = widen_ventricles(rng, classes) if bend else None
        if not widening:
            return coordinates, classes
        coordinates = push_coordinates(coordinates, widening)
        return coordinates, read_nearest(labels, coordinates)

    def _draw_lesions(
        self, rng: Generator, index: int, classes: Tensor, start: tuple[int, int, int]
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

    def _lesion_values(self, painted: Tensor, share: Tensor) -> Tensor:
        """Values inside the lesion, as thinly read as those of the brain in `_render`.

        A large bright lesion sets the upper percentile of a scan, and so darkens all the rest.
        """
        return painted[share > 0.5][:: self.config._coarse_step**3]

    def _draw_start(self, rng: Generator) -> tuple[int, int, int]:
        """First voxel of the patch, uniform over the grid on even voxels (the nets fold by two)."""
        i, j, k = (
            2 * integer(rng, (n - p) // 2 + 1) if n > p else 0
            for n, p in zip(TEMPLATE_SHAPE, self.config.patch, strict=True)
        )
        return i, j, k

    def _sources(self, subject: Subject) -> dict[str, np.ndarray]:
        """Real images that are read where the patch lies, by their sequence."""
        return {} if subject.image is None else {"T1w": subject.image}

    def _draw_contrasts(self, rng: Generator, subject: Subject) -> list[c.Contrast]:
        """Contrasts of the two images of a sample."""
        del subject
        return [c.draw_contrast(rng, self._draw_sequence(rng)) for _ in range(2)]

    def _draw_sequence(self, rng: Generator) -> str:
        draw = uniform(rng, 0, 1)
        for name, share in zip(c.CONTRASTS, self.config.sequence_shares, strict=True):
            draw -= share
            if draw < 0:
                return name
        return c.CONTRASTS[-1]

    def _render(
        self,
        rng: Generator,
        subject: Subject,
        classes: Tensor,
        real: Mapping[str, Tensor],
        contrast: c.Contrast,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one healthy image; also values all over its brain, and its tissue intensities."""
        t1w = real.get("T1w")
        step = self.config._coarse_step
        coarse = torch.from_numpy(np.ascontiguousarray(subject.labels[::step, ::step, ::step]))
        inside = (coarse > 0) & (coarse != RIM)
        tissue = torch.from_numpy(TISSUE_OF_CLASS)[coarse[inside].long()]
        if t1w is not None and subject.image is not None and chance(rng, self.config.real_share):
            grey = torch.from_numpy(np.ascontiguousarray(subject.image[::step, ::step, ::step]))
            landmarks = class_landmarks(grey, coarse)
            if bool((landmarks[1:] > landmarks[:-1] + 5).all()):
                curve = c.tone_curve(rng, landmarks, contrast)
                image = c.remap(t1w, curve)
                rim = classes == RIM
                image[rim] = contrast.means[RIM]
                image = add_normal_variants(rng, image, classes, contrast.sequence)
                values = c.remap(grey[inside].float(), curve)
                return image, values, tissue_medians(values, tissue)
        image = c.render_classes(rng, classes, contrast)
        image = add_normal_variants(rng, image, classes, contrast.sequence)
        values = contrast.means[coarse[inside].long()]
        values = values + 0.03 * torch.randn(values.shape, generator=rng)
        return image, values, tissue_medians(values, tissue)


def _joint_share(lesions: list[Lesion], classes: Tensor) -> Tensor:
    """Share of any lesion at each voxel, (I, J, K): 1 − Π (1 − share of each)."""
    healthy = torch.ones(classes.shape)
    for lesion in lesions:
        healthy = healthy * (1 - lesion.alpha)
    return 1 - healthy


def read_crop(volume: np.ndarray, coordinates: Tensor) -> Tensor:
    """Linear reading of a memory-mapped volume through only the part that is needed."""
    flat = coordinates.reshape(3, -1)
    low = [max(0, int(v)) for v in flat.amin(1).floor()]
    high = [int(v) + 2 for v in flat.amax(1).ceil()]
    crop = volume[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    shift = torch.tensor(low, dtype=torch.float32).view(3, 1, 1, 1)
    return read_linear(torch.from_numpy(np.array(crop)).float(), coordinates - shift)


def class_landmarks(grey: Tensor, classes: Tensor) -> Tensor:
    """Median grey value of ventricular CSF, cortex and cerebral white matter, (3,)."""
    return torch.stack([grey[classes == k].float().median() for k in (1, c.CORTEX, c.WHITE)])


def tissue_medians(values: Tensor, tissue: Tensor) -> Tensor:
    """Median of CSF, grey and white matter values, (3,)."""
    return torch.stack([values[tissue == k].median() for k in (1, 2, 3)])


def _window(rng: Generator, values: Tensor, sequence: str) -> tuple[float, float]:
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
    low, high = torch.quantile(values, torch.tensor([0.005, 0.995])).tolist()
    return low, max(high, low + 0.05)


def _scale(image: Tensor, low_range: tuple[float, float], brain: Tensor) -> Tensor:
    """Scale to [0, 1] as `preprocess.normalise` does; 0 outside the brain."""
    low, extent = low_range
    return (HIGH_VALUE * (image - low) / extent).clamp(0, 1) * brain
