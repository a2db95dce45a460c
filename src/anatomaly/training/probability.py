"""Probabilities that mean what they say: of the voxels scored .5, half lie in a lesion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from anatomaly.types import BoolArray, FloatArray

EVERY = 20
"""Of the voxels without a lesion, every so manieth is looked at, and counts as many."""


class Sample(NamedTuple):
    """Voxels of one scan or more, each (N,).

    Attributes:
        logit: of the refined score before calibration.
        lesion: bool.
        weight: how many voxels of the scan one stands for.
    """

    logit: FloatArray
    lesion: BoolArray
    weight: FloatArray


def sample_voxels(logit: FloatArray, lesion: BoolArray, brain_mask: BoolArray) -> Sample:
    """Take all voxels of lesions and a few of the others; arguments (I, J, K)."""
    inside, outside = logit[brain_mask & lesion], logit[brain_mask & ~lesion][::EVERY]
    return Sample(
        np.concatenate([inside, outside]).astype(np.float64),
        np.arange(len(inside) + len(outside)) < len(inside),
        np.repeat([1.0, float(EVERY)], [len(inside), len(outside)]),
    )


def join_samples(samples: Iterable[Sample]) -> Sample:
    """Put the voxels of several scans together."""
    return Sample(*(np.concatenate(parts) for parts in zip(*samples, strict=True)))


def fit_probability(sample: Sample) -> tuple[float, float]:
    """Fit slope a > 0 and offset b so that σ(a · logit + b) is the probability of a lesion.

    Least weighted cross-entropy.

    Args:
        sample: with voxels of both kinds.

    Returns:
        (a, b), three decimals.

    Raises:
        ValueError: there is one kind of voxels only.

    Source: Platt 1999, "Probabilistic outputs for support vector machines".
    """
    if sample.lesion.all() or not sample.lesion.any():
        raise ValueError("probabilities need voxels inside and outside lesions")
    sign = np.where(sample.lesion, 1.0, -1.0)
    weight = sample.weight / sample.weight.sum()

    def surprise(parameters: FloatArray) -> float:
        steepness, offset = np.exp(parameters[0]), parameters[1]
        return float(weight @ np.logaddexp(0, -sign * (steepness * sample.logit + offset)))

    optimum = minimize(surprise, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-4})
    return round(float(np.exp(optimum.x[0])), 3), round(float(optimum.x[1]), 3)


def reliability(
    sample: Sample, calibration: tuple[float, float], bins: int = 10
) -> list[tuple[float, float, float]]:
    """Compare probabilities with what is true.

    Args:
        sample: of voxels.
        calibration: of `fit_probability`.
        bins: of equal width on [0, 1].

    Returns:
        Mean probability, share of lesion, and millilitres of each bin that is not empty.
    """
    probability = expit(calibration[0] * sample.logit + calibration[1])
    index = np.minimum((probability * bins).astype(int), bins - 1)
    rows = []
    for each in np.unique(index):
        own, weight = index == each, sample.weight[index == each]
        mean, share = (np.average(v[own], weights=weight) for v in (probability, sample.lesion))
        rows.append((float(mean), float(share), float(weight.sum()) / 1000))
    return rows
