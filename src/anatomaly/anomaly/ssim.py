"""The structural similarity of two volumes at every voxel.

Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, with a Gaussian window in three dimensions.
It keeps the shape of its input, which the libraries' 3D maps do not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anatomaly.gaussian import gaussian_blur

WINDOW_TRUNCATE = 3.5


def ssim_map(x: Tensor, y: Tensor, *, data_range: float, sigma: float = 1.5) -> Tensor:
    """Compute SSIM at every voxel; 1 where the two agree, higher is more alike.

    Args:
        x: (B, 1, I, J, K) float.
        y: the same shape.
        data_range: largest minus smallest possible value; no default, it depends on the data.
        sigma: σ of the Gaussian window in voxels.

    Returns:
        (B, 1, I, J, K) in [−1, 1]. Borders are reflected; moments are weighted means without the
        sample correction.

    Raises:
        ValueError: shapes differ, or data_range or sigma is not positive.

    >>> x = torch.rand(1, 1, 12, 13, 14)
    >>> bool(torch.allclose(ssim_map(x, x, data_range=1.0), torch.ones_like(x)))
    True
    """
    if x.shape != y.shape:
        raise ValueError(f"shapes differ: {tuple(x.shape)} and {tuple(y.shape)}")
    if data_range <= 0 or sigma <= 0:
        raise ValueError(f"data_range and sigma must be > 0, got {data_range} and {sigma}")
    x, y = x.float(), y.float()
    moments = torch.cat([x, y, x * x, y * y, x * y], dim=1)
    radius = int(WINDOW_TRUNCATE * sigma + 0.5)
    with torch.autocast(x.device.type, enabled=False):  # half precision cannot hold xx − x̄²
        blurred = gaussian_blur(moments, [sigma] * 3, [radius] * 3, borders="reflect")
        mean_x, mean_y, xx, yy, xy = blurred.chunk(5, dim=1)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    covariance = xy - mean_x * mean_y
    spread = xx - mean_x**2 + yy - mean_y**2
    return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (spread + c2)
    )
