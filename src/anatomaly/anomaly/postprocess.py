"""From the raw score to the anomaly map and mask: smoothing, rim, threshold, small components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.errors import GeometryError
from anatomaly.types import BoolArray, FloatArray
from anatomaly.volume import Volume


def postprocess(
    raw_score: FloatArray, brain_mask: BoolArray, *, sigma_voxels: float, erosion_voxels: float
) -> NDArray[np.float32]:
    """Smooth the score with a Gaussian and drop the rim of the brain.

    Args:
        raw_score: (I, J, K), >= 0.
        brain_mask: (I, J, K) bool.
        sigma_voxels: σ of the Gaussian; 0 leaves the score as it is.
        erosion_voxels: depth of the rim that is set to 0.

    Returns:
        (I, J, K) float32, 0 outside the eroded mask.

    Raises:
        GeometryError: shapes differ.
    """
    smooth = ndimage.gaussian_filter(raw_score.astype(np.float32), sigma_voxels)
    return drop_rim(smooth, brain_mask, erosion_voxels)


def drop_rim(
    score: FloatArray, brain_mask: BoolArray, erosion_voxels: float
) -> NDArray[np.float32]:
    """Set the score to 0 outside the brain and in its rim.

    Args:
        score: (I, J, K).
        brain_mask: (I, J, K) bool.
        erosion_voxels: depth of the rim.

    Returns:
        (I, J, K) float32, 0 outside the eroded mask.

    Raises:
        GeometryError: shapes differ.
    """
    if score.shape != brain_mask.shape:
        raise GeometryError(f"score {score.shape} and mask {brain_mask.shape} differ in shape")
    out = np.zeros(score.shape, dtype=np.float32)
    if not brain_mask.any():
        return out
    if erosion_voxels == 0:
        return np.where(brain_mask, score, out)
    box = ndimage.find_objects(brain_mask.astype(np.uint8))[0]
    inside = np.pad(brain_mask[box], 1)
    depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1, 1:-1]
    out[box] = np.where(depth > erosion_voxels, score[box], 0)
    return out


def threshold_map(
    anomaly_map: Volume, brain_mask: Volume, threshold: float, min_lesion_mm3: float
) -> Volume:
    """Cut the map and drop small components (26 neighbours).

    Args:
        anomaly_map: (I, J, K), higher is more abnormal.
        brain_mask: same grid, above zero inside.
        threshold: voxels above it are abnormal.
        min_lesion_mm3: components smaller than this are dropped.

    Returns:
        uint8 mask on the same grid.
    """
    mask = (anomaly_map.data > threshold) & (brain_mask.data > 0)
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * anomaly_map.voxel_volume_mm3
    keep = sizes >= min_lesion_mm3
    keep[0] = False
    return anomaly_map.with_data(keep[labels].astype(np.uint8))
