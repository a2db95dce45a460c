"""From an image and its pseudo-healthy counterpart to the anomaly map."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from anatomaly.anomaly.healthy_residual import normalise_residual
from anatomaly.anomaly.hybrid_score import (
    hybrid_score,
    signed_residual,
    structural_difference,
)
from anatomaly.anomaly.postprocess import postprocess, threshold_map
from anatomaly.config import AnomalyConfig
from anatomaly.method import Method
from anatomaly.types import BoolArray, FloatArray, MrSequence
from anatomaly.volume import Volume


def raw_score(
    image: Tensor, pseudo_healthy: Tensor, sequence: MrSequence, method: Method
) -> Tensor:
    """Compare a scan with its pseudo-healthy image, voxel by voxel.

    Args:
        image: (1, 1, I, J, K) in [0, 1], 0 outside the brain.
        pseudo_healthy: the same.
        sequence: decides the polarity if that is `auto`.
        method: polarity, score, SSIM window; any score but the refined one, and of the normalised
            one the residual.

    Returns:
        (1, 1, I, J, K) in [0, 1].

    Raises:
        ValueError: the score is `refined`, which a network gives.
    """
    polarity = method.sign_in(sequence)
    sigma = method.ssim_sigma_mm
    if method.score == "refined":
        raise ValueError("the refined score is that of a network: see score.lesion_logit")
    if method.score == "structure":
        return structural_difference(image, pseudo_healthy, data_range=1.0, sigma=sigma)
    if method.score in ("residual", "normalised"):
        return signed_residual(image, pseudo_healthy, polarity)
    return hybrid_score(image, pseudo_healthy, data_range=1.0, polarity=polarity, sigma=sigma)


def anomaly_map(
    raw: Tensor,
    brain_mask: BoolArray,
    method: Method,
    healthy_residual: FloatArray | None = None,
) -> FloatArray:
    """Turn a score on the working grid, whose voxels are 1 mm wide, into the anomaly map.

    Args:
        raw: (1, 1, I, J, K) of `raw_score`, or of the network of the refined score.
        brain_mask: (I, J, K).
        method: score, smoothing, rim.
        healthy_residual: (I/4, J/4, K/4) of healthy people, for the `normalised` score.

    Returns:
        (I, J, K) float32 in [0, 1], higher is more abnormal, 0 outside the scored brain.

    Raises:
        ValueError: the score is `normalised` and healthy_residual is None.
    """
    smooth = postprocess(
        raw[0, 0].cpu().numpy(),
        brain_mask,
        sigma_voxels=method.smoothing_mm,
        erosion_voxels=method.rim_mm,
    )
    if method.score != "normalised":
        return smooth
    if healthy_residual is None:
        raise ValueError("the normalised score needs the residual of healthy people")
    return normalise_residual(smooth, healthy_residual)


def anomaly_mask(
    anomaly_map: Volume,
    brain_mask: Volume,
    threshold: float,
    method: Method,
    min_lesion_mm3: float = AnomalyConfig.min_lesion_mm3,
) -> Volume:
    """Cut an anomaly map as a method says.

    Args:
        anomaly_map: any grid, in [0, 1].
        brain_mask: same grid, above zero inside.
        threshold: of the scan's sequence.
        method: its growth.
        min_lesion_mm3: smaller pieces are dropped.

    Returns:
        uint8 mask on the same grid.
    """
    return threshold_map(anomaly_map, brain_mask, threshold, min_lesion_mm3, method.grow_share)


def found_ml(
    anomaly_map: Volume,
    method: Method,
    threshold: float,
    min_lesion_mm3: float = AnomalyConfig.min_lesion_mm3,
) -> float:
    """Return the mL of the mask that `detect` makes of a map that is 0 outside the brain."""
    mask = anomaly_mask(anomaly_map, anomaly_map, threshold, method, min_lesion_mm3)
    return float(np.count_nonzero(mask.data)) * anomaly_map.voxel_volume_mm3 / 1000
