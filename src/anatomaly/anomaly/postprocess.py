"""From the raw score to the anomaly map and mask: smoothing, rim, threshold, small components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from anatomaly.components import keep_seeded
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
    anomaly_map: Volume,
    brain_mask: Volume,
    threshold: float,
    min_lesion_mm3: float,
    grow_share: float = 1.0,
) -> Volume:
    """Cut the map by two thresholds and drop small components (26 neighbours).

    Args:
        anomaly_map: (I, J, K), higher is more abnormal.
        brain_mask: same grid, above zero inside.
        threshold: a component is kept where a voxel of it lies above.
        min_lesion_mm3: components smaller than this are dropped.
        grow_share: components are those of the voxels above this share of the threshold, in
            (0, 1]; 1 cuts at the threshold alone.

    Returns:
        uint8 mask on the same grid.
    """
    inside = brain_mask.data > 0
    pieces = keep_seeded(
        (anomaly_map.data > grow_share * threshold) & inside,
        (anomaly_map.data > threshold) & inside,
        anomaly_map.voxel_volume_mm3,
        min_lesion_mm3,
    )
    return anomaly_map.with_data(pieces.astype(np.uint8))
