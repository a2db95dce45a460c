"""Random contrasts: intensities of each class per sequence, texture, and what a scanner adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from anatomaly.training.synthesis.label_maps import CLASS_NAMES, RIM
from anatomaly.training.synthesis.random_draws import (
    Rng,
    chance,
    gaussian_blur,
    integer,
    normal,
    numbers,
    smooth_field,
    uniform,
)

CONTRASTS: tuple[str, ...] = ("T1w", "T2w", "FLAIR", "random")
CSF = CLASS_NAMES.index("sulcal CSF")
CORTEX = CLASS_NAMES.index("cortex")
WHITE = CLASS_NAMES.index("cerebral white matter")

_TISSUE_RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "T1w": ((0.03, 0.25), (0.42, 0.66), (0.75, 0.95)),
    "T2w": ((0.80, 1.00), (0.38, 0.60), (0.22, 0.42)),
    "FLAIR": ((0.02, 0.22), (0.55, 0.78), (0.42, 0.66)),
}
# Where each deep structure lies: share of the way from grey to white matter, and a jitter.
_DEEP: dict[str, dict[int, tuple[float, float]]] = {
    "T1w": {4: (0.15, 0.10), 5: (0.50, 0.15), 6: (0.75, 0.15), 12: (0.80, 0.10)},
    "T2w": {4: (0.30, 0.20), 5: (0.45, 0.20), 6: (1.00, 0.20), 12: (0.85, 0.20)},
    "FLAIR": {4: (0.30, 0.30), 5: (0.50, 0.30), 6: (0.90, 0.30), 12: (0.80, 0.20)},
    "random": {4: (0.20, 0.20), 5: (0.50, 0.20), 6: (0.80, 0.20), 12: (0.80, 0.20)},
}


@dataclass(frozen=True)
class Contrast:
    """Mean intensity and texture of each class, shapes (15,), about [0, 1] before normalisation.

    Both lie on the CPU: they are read number by number.
    """

    sequence: str
    means: Tensor
    texture: Tensor


def draw_contrast(rng: Rng, sequence: str) -> Contrast:
    """Draw a contrast: tissue means uniform in the ranges of the sequence, structures between.

    `random` draws the three tissues anywhere in [0.02, 1], at least 0.12 apart.
    """
    if sequence == "random":
        while True:
            csf, grey, white = (uniform(rng, 0.02, 1.0) for _ in range(3))
            if min(abs(csf - grey), abs(csf - white), abs(grey - white)) > 0.12:
                break
    else:
        csf, grey, white = (uniform(rng, *r) for r in _TISSUE_RANGES[sequence])
        if sequence == "FLAIR":
            white = min(white, grey - 0.04)
    means = torch.zeros(len(CLASS_NAMES), device="cpu")
    means[1], means[2] = csf, csf + uniform(rng, -0.03, 0.03)
    means[3], means[9] = grey, white
    for index, (share, jitter) in _DEEP[sequence].items():
        means[index] = grey + (white - grey) * (share + uniform(rng, -jitter, jitter))
    means[7] = grey + uniform(rng, -0.03, 0.04)
    means[8] = grey + uniform(rng, -0.05, 0.05)
    means[10] = white + uniform(rng, -0.05, 0.05)
    means[11] = white + (grey - white) * uniform(rng, 0.0, 0.35)
    means[13] = grey + (csf - grey) * uniform(rng, -0.3, 0.8)
    means[RIM] = csf + uniform(rng, -0.02, 0.02) if chance(rng, 0.6) else uniform(rng, 0.0, 0.9)
    texture = numbers(rng, len(CLASS_NAMES)) * 0.035 + 0.005
    return Contrast(sequence, means.clamp(0.0, 1.2), texture)


def rim_is_csf(contrast: Contrast) -> bool:
    """Tell whether the rim of this contrast reads as CSF rather than as meninges."""
    return bool(abs(contrast.means[RIM] - contrast.means[CSF]) < 0.03)


def render_classes(rng: Rng, classes: Tensor, contrast: Contrast) -> Tensor:
    """Draw an image (I, J, K) from a class map: mean plus coarse and fine texture, then blur."""
    index = classes.int()
    means, spread = contrast.means.to(classes.device), contrast.texture.to(classes.device)
    coarse = smooth_field(rng, classes.shape, uniform(rng, 3, 12))
    texture = coarse.mul_(0.7).add_(normal(rng, classes.shape).mul_(0.7))
    image = means[index].add_(texture.mul_(spread[index]))
    return gaussian_blur(image, uniform(rng, 0.45, 0.9))


def tone_curve(rng: Rng, landmarks: Tensor, contrast: Contrast) -> Tensor:
    """Return 257 output values for grey values 0 to 256 of a real T1w scan, on the CPU.

    Args:
        rng: two draws: how far the curve goes on below CSF and above white matter.
        landmarks: (3,) grey values of CSF, cortex and white matter of this person, increasing.
        contrast: wanted means; a T1w contrast keeps the order, others invert it.
    """
    csf, grey, white = (float(v) for v in landmarks)
    out = contrast.means[[CSF, CORTEX, WHITE]]
    above = white + (white - grey) * 1.5
    ends = [0.0, csf, grey, white, max(above, white + 1), 257.0]
    knots = torch.tensor(ends, device="cpu")
    slope_low = (out[0] - out[1]) * uniform(rng, 0.0, 0.3)
    slope_high = (out[2] - out[1]) * uniform(rng, 0.2, 0.8)
    values = torch.stack(
        [out[0] + slope_low, out[0], out[1], out[2], out[2] + slope_high, out[2] + slope_high]
    )
    grey_values = torch.arange(257, dtype=torch.float32, device="cpu")
    right = torch.searchsorted(knots, grey_values, right=True).clamp(1, 5)
    x0, x1 = knots[right - 1], knots[right]
    share = ((grey_values - x0) / (x1 - x0).clamp(min=1e-3)).clamp(0, 1)
    return (values[right - 1] * (1 - share) + values[right] * share).clamp(-0.1, 1.5)


def remap(image: Tensor, curve: Tensor) -> Tensor:
    """Put grey values (any shape, 0 to 255) through a tone curve with linear interpolation."""
    curve, within = curve.to(image.device), image.clamp(0, 255)
    low = within.int()
    share = within - low
    return (curve[low] * (1 - share)).add_(curve[low + 1] * share)


@dataclass(frozen=True)
class Acquisition:
    """What the scanner does, the same for a healthy image and its copy with a lesion.

    Attributes:
        thick_axis: axis of thick slices; −1 for none.
        thickness: slice thickness in voxels (mm).
        blur: σ of the point spread per axis, voxels.
        noise: standard deviation of the noise, intensity units.
        bias: strength of what the bias correction left.
        slice_gain: spread of the gain from slice to slice; every second slice is excited later,
            so that odd and even ones differ.
        falloff: share of the signal that is lost at one end of one axis.
        falloff_axis: that axis, 0 to 2; the end is the last voxel for `falloff_last`.
        falloff_last: whether it is.
        falloff_reach: voxels over which the loss fades.
    """

    thick_axis: int
    thickness: int
    blur: tuple[float, float, float]
    noise: float
    bias: float
    slice_gain: float = 0.0
    falloff: float = 0.0
    falloff_axis: int = 2
    falloff_last: bool = True
    falloff_reach: float = 50.0


def draw_acquisition(rng: Rng) -> Acquisition:
    """Draw: thick slices of 2 to 8 mm in 30 %, blur σ up to .6, noise .005 to .05, bias to .08.

    Half of the scans with thick slices have a gain that varies between them, spread up to .05; a
    fifth of all scans lose up to 30 % of the signal at one end, the vertex in half of these.
    """
    thick = chance(rng, 0.3)
    sigma = uniform(rng, 0.0, 0.6)
    return Acquisition(
        thick_axis=integer(rng, 3) if thick else -1,
        thickness=2 + integer(rng, 7) if thick else 1,
        blur=(sigma, sigma, sigma),
        noise=0.005 + 0.045 * uniform(rng, 0, 1) ** 2,
        bias=uniform(rng, 0.0, 0.08),
        slice_gain=uniform(rng, 0.0, 0.05) if thick and chance(rng, 0.5) else 0.0,
        falloff=uniform(rng, 0.0, 0.3) if chance(rng, 0.2) else 0.0,
        falloff_axis=2 if chance(rng, 0.5) else integer(rng, 3),
        falloff_last=chance(rng, 0.75),
        falloff_reach=uniform(rng, 25, 70),
    )


def acquire(image: Tensor, acquisition: Acquisition) -> Tensor:
    """Apply blur and thick slices (mean over the slice, linear between slices): (I, J, K)."""
    out = gaussian_blur(image, acquisition.blur)
    if acquisition.thick_axis < 0:
        return out
    kernel = [1, 1, 1]
    kernel[acquisition.thick_axis] = acquisition.thickness
    coarse = F.avg_pool3d(out[None, None], kernel, ceil_mode=True)
    return F.interpolate(coarse, size=out.shape, mode="trilinear", align_corners=False)[0, 0]


def add_noise(rng: Rng, image: Tensor, acquisition: Acquisition) -> Tensor:
    """Add a gain (what N4 left) and noise; Gaussian, as good as Rician inside the brain."""
    gain = smooth_field(rng, image.shape, 50).mul_(acquisition.bias).add_(1)
    gain.mul_(_slice_gain(rng, image.shape, acquisition))
    gain.mul_(_falloff(image.shape, acquisition, image.device))
    noise = normal(rng, image.shape)
    if acquisition.thick_axis >= 0:  # noise of one slice repeats across it
        noise = acquire(noise, acquisition) * acquisition.thickness**0.5
    return (image * gain).add_(noise.mul_(acquisition.noise))


def _slice_gain(rng: Rng, shape: Sequence[int], acquisition: Acquisition) -> Tensor:
    """Gain of each thick slice, broadcast over the other axes."""
    axis = acquisition.thick_axis
    if axis < 0 or acquisition.slice_gain == 0:
        return torch.ones(1, 1, 1, device=rng.device)
    count = -(-shape[axis] // acquisition.thickness)
    odd = (torch.arange(count, device=rng.device) % 2 - 0.5) * normal(rng, (1,))
    gain = 1 + acquisition.slice_gain * (0.7 * normal(rng, (count,)) + 0.7 * odd)
    each = gain.repeat_interleave(acquisition.thickness)[: shape[axis]]
    return each.view([-1 if n == axis else 1 for n in range(3)])


def _falloff(shape: Sequence[int], acquisition: Acquisition, device: torch.device) -> Tensor:
    """Gain that sinks towards one end of an axis, where a coil sees less of the head."""
    axis = acquisition.falloff_axis
    from_end = torch.arange(shape[axis], dtype=torch.float32, device=device)
    if acquisition.falloff_last:
        from_end = from_end.flip(0)
    near = (1 - from_end / acquisition.falloff_reach).clamp(min=0)
    gain = 1 - acquisition.falloff * near.square()
    return gain.view([-1 if n == axis else 1 for n in range(3)])
