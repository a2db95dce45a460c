"""Tissue of a healthy brain from the scan itself: a Gaussian mixture with template priors.

Works on any sequence, and on several of one person together. Written by hand because scikit-learn's
GaussianMixture knows no prior that changes from voxel to voxel.

Source: Ashburner and Friston 2005, doi:10.1016/j.neuroimage.2005.02.018, without their warps; the
bias field was corrected before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.types import BoolArray, FloatArray

PRIOR_BLUR_VOXELS = 2.0
"""σ: the template is laid on by an affine, and people's folds lie a few millimetres elsewhere."""

LEAST_PRIOR = 0.02
"""Any tissue may be anywhere in the brain."""

MOST_ROUNDS = 40


def blur_priors(priors: FloatArray, brain: BoolArray) -> FloatArray:
    """Blur priors (3, I, J, K) and make them sum to 1 at each brain voxel: (N, 3)."""
    soft = [ndimage.gaussian_filter(p.astype(np.float32), PRIOR_BLUR_VOXELS)[brain] for p in priors]
    shares = np.stack(soft, axis=1) + LEAST_PRIOR
    normed: FloatArray = shares / shares.sum(1, keepdims=True)
    return normed


def fit_tissues(images: FloatArray, brain: BoolArray, priors: FloatArray) -> NDArray[np.uint8]:
    """Fit one Gaussian for each of CSF, grey and white matter, by expectation maximisation.

    Posterior r_ik ∝ π_k(x_i) N(y_i; μ_k, Σ_k), π the template prior at the voxel; μ and Σ are the
    weighted moments under r, until the mean log-likelihood changes by less than 1e-5.

    Args:
        images: (C, I, J, K) registered images of one person, any units.
        brain: (I, J, K).
        priors: (3, I, J, K) in [0, 1], of CSF, grey and white matter.

    Returns:
        (I, J, K) uint8: 0 outside the brain, 1 CSF, 2 grey matter, 3 white matter.
    """
    values = images[:, brain].T.astype(np.float64)
    shares = blur_priors(priors, brain)
    thin = slice(None, None, max(1, len(values) // 200_000))  # enough to fit on
    posterior, previous = shares[thin], -np.inf
    for _ in range(MOST_ROUNDS):
        means, covariances = _moments(values[thin], posterior)
        joint = shares[thin] * _densities(values[thin], means, covariances)
        likelihood = float(np.log(joint.sum(1) + 1e-300).mean())
        posterior = joint / (joint.sum(1, keepdims=True) + 1e-300)
        if likelihood - previous < 1e-5:
            break
        previous = likelihood
    joint = shares * _densities(values, means, covariances)
    tissue = np.zeros(brain.shape, np.uint8)
    tissue[brain] = 1 + joint.argmax(1)
    return tissue


def _moments(values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted means (3, C) and covariances (3, C, C); the latter never degenerate."""
    total = weights.sum(0) + 1e-9
    means = weights.T @ values / total[:, None]
    floor = 1e-4 * np.diag(values.var(0) + 1e-12)
    covariances = []
    for k, mean in enumerate(means):
        away = values - mean
        covariances.append((weights[:, k, None] * away).T @ away / total[k] + floor)
    return means, np.stack(covariances)


def _densities(values: FloatArray, means: FloatArray, covariances: FloatArray) -> FloatArray:
    """Gaussian density of each value under each tissue, (N, 3), up to one common factor."""
    out = []
    for mean, covariance in zip(means, covariances, strict=True):
        away = values - mean
        distance = (away @ np.linalg.inv(covariance) * away).sum(1)
        out.append(np.exp(-0.5 * distance) / np.sqrt(np.linalg.det(covariance)))
    densities: FloatArray = np.stack(out, axis=1)
    return densities
