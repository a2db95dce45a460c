"""The score of the paper: residual times structural difference.

How far a voxel is from its healthy counterpart, times how differently its neighbourhood is built.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922: |x − φ| · (1 − SSIM(x, φ)). What
differs: a polarity may keep only the residuals of one sign.
"""

from __future__ import annotations

from torch import Tensor

from anatomaly.anomaly.ssim import ssim_map
from anatomaly.types import ResidualPolarity


def signed_residual(
    image: Tensor, pseudo_healthy: Tensor, polarity: ResidualPolarity = "both"
) -> Tensor:
    """Return the part of image − pseudo-healthy that counts, as a value >= 0; any shape.

    >>> import torch
    >>> signed_residual(torch.tensor([0.2, 0.9]), torch.tensor([0.5, 0.5]), "brighter").tolist()
    [0.0, 0.3999999761581421]
    """
    difference = image - pseudo_healthy
    if polarity == "both":
        return difference.abs()
    return (difference if polarity == "brighter" else -difference).clamp(min=0)


def structural_difference(
    image: Tensor, pseudo_healthy: Tensor, *, data_range: float, sigma: float = 1.5
) -> Tensor:
    """Return 1 − SSIM, cut to [0, 1]; arguments as of `hybrid_score`."""
    similarity = ssim_map(image, pseudo_healthy, data_range=data_range, sigma=sigma)
    return (1 - similarity).clamp(0, 1)


def hybrid_score(
    image: Tensor,
    pseudo_healthy: Tensor,
    *,
    data_range: float,
    polarity: ResidualPolarity = "both",
    sigma: float = 1.5,
) -> Tensor:
    """Score every voxel: residual times structural difference, higher is more abnormal.

    Args:
        image: (B, 1, I, J, K), 0 outside the brain.
        pseudo_healthy: same shape and mask.
        data_range: of both images; 1.0 for prepared ones.
        polarity: `both` is the paper's score.
        sigma: σ of the SSIM window in voxels.

    Returns:
        (B, 1, I, J, K) in [0, data_range]; 1 − SSIM is cut at 1.
    """
    structure = structural_difference(image, pseudo_healthy, data_range=data_range, sigma=sigma)
    return signed_residual(image, pseudo_healthy, polarity) * structure
