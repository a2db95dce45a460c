"""From an image and its pseudo-healthy counterpart to the anomaly map."""

from __future__ import annotations

from torch import Tensor

from anatomaly.anomaly.healthy_residual import normalise_residual
from anatomaly.anomaly.hybrid_score import hybrid_score, resolve_polarity, signed_residual
from anatomaly.anomaly.postprocess import postprocess
from anatomaly.config import AnomalyConfig
from anatomaly.types import BoolArray, FloatArray, Sequence


def anomaly_map(
    image: Tensor,
    pseudo_healthy: Tensor,
    brain_mask: BoolArray,
    sequence: Sequence,
    config: AnomalyConfig,
    healthy_residual: FloatArray | None = None,
) -> FloatArray:
    """Score a rebuilt scan on the working grid, whose voxels are 1 mm wide.

    Args:
        image: (1, 1, I, J, K) in [0, 1], 0 outside the brain.
        pseudo_healthy: the same.
        brain_mask: (I, J, K).
        sequence: decides the polarity if that is `auto`.
        config: polarity, score (not `auto`), smoothing, rim.
        healthy_residual: (I/4, J/4, K/4) of healthy people, for the `normalised` score.

    Returns:
        (I, J, K) float32 in [0, 1], higher is more abnormal, 0 outside the scored brain.

    Raises:
        ValueError: the score is `normalised` and healthy_residual is None.
    """
    polarity = resolve_polarity(config.polarity, sequence)
    if config.score == "hybrid":
        sigma = config.ssim_sigma_mm
        raw = hybrid_score(image, pseudo_healthy, data_range=1.0, polarity=polarity, sigma=sigma)
    else:
        raw = signed_residual(image, pseudo_healthy, polarity)
    smooth = postprocess(
        raw[0, 0].cpu().numpy(),
        brain_mask,
        sigma_voxels=config.smooth_sigma_mm,
        erosion_voxels=config.erosion_mm,
    )
    if config.score != "normalised":
        return smooth
    if healthy_residual is None:
        raise ValueError("the normalised score needs the residual of healthy people")
    return normalise_residual(smooth, healthy_residual)
