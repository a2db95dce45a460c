"""A 3D U-Net that works at half resolution and answers at full resolution.

The image is folded (space to depth, 2×2×2 voxels become 8 channels), so that the expensive layers
see an eighth of the voxels, and unfolded at the end: no voxel is thrown away, and the network
costs about a fifth of one that keeps full-resolution feature maps. GroupNorm rather than
InstanceNorm keeps the channels-last layout fast.

Source: U-Net, Çiçek et al. 2016, doi:10.1007/978-3-319-46723-8_49; the folding is the
sub-pixel layer of Shi et al. 2016, doi:10.1109/CVPR.2016.207, in three dimensions.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fold(x: Tensor) -> Tensor:
    """Move each 2×2×2 block of voxels into channels.

    Args:
        x: (B, C, I, J, K), I, J and K even.

    Returns:
        (B, 8·C, I/2, J/2, K/2).

    >>> fold(torch.zeros(1, 2, 4, 6, 8)).shape
    torch.Size([1, 16, 2, 3, 4])
    """
    b, c, i, j, k = x.shape
    x = x.reshape(b, c, i // 2, 2, j // 2, 2, k // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * 8, i // 2, j // 2, k // 2)


def unfold(x: Tensor) -> Tensor:
    """Undo `fold`: (B, 8·C, I, J, K) to (B, C, 2·I, 2·J, 2·K), channels last in memory.

    >>> x = torch.rand(1, 2, 4, 6, 8)
    >>> torch.equal(unfold(fold(x)), x)
    True
    """
    b, c, i, j, k = x.shape
    x = x.permute(0, 2, 3, 4, 1).reshape(b, i, j, k, c // 8, 2, 2, 2)
    x = x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, 2 * i, 2 * j, 2 * k, c // 8)
    return x.permute(0, 4, 1, 2, 3)


def lay_channels_last(module: nn.Module) -> None:
    """Lay the weights out with channels last, in place: 3D convolutions run faster so."""
    for parameter in module.parameters():
        if parameter.dim() == 5:  # a network of slices has none
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)


class PointwiseConv3d(nn.Conv3d):
    """Convolution 1³: a matrix product over channels, four times as fast where these come last."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, I, J, K) to (B, channels_out, I, J, K)."""
        product = F.linear(x.permute(0, 2, 3, 4, 1), self.weight.flatten(1), self.bias)
        return product.permute(0, 4, 1, 2, 3)


class ConvBlock(nn.Sequential):
    """Convolution 3³, GroupNorm, leaky ReLU; stride 2 halves the grid."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(min(8, channels_out // 2), channels_out),
            nn.LeakyReLU(0.1, inplace=True),
        )


class UNet3d(nn.Module):
    """U-Net on the folded grid with additive skips.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output, unbounded values.
        channels: width of each level, the finest (half resolution) first.
        context: channels of a second input that is already at half resolution.

    Shapes:
        (B, channels_in, I, J, K) to (B, channels_out, I, J, K); I, J and K must be multiples of
        2 to the power of the number of levels.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        channels: tuple[int, ...] = (24, 48, 96, 128),
        context: int = 0,
    ) -> None:
        super().__init__()
        self.multiple = 2 ** len(channels)
        self.stem = ConvBlock(8 * channels_in + context, channels[0])
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock(a, b, stride=2), ConvBlock(b, b)) for a, b in pairwise(channels)
        )
        self.up = nn.ModuleList(
            nn.Sequential(PointwiseConv3d(b, a), nn.Upsample(scale_factor=2, mode="nearest"))
            for a, b in pairwise(channels)
        )
        self.merge = nn.ModuleList(ConvBlock(a, a) for a in channels[:-1])
        self.head = PointwiseConv3d(channels[0], 8 * channels_out)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, channels_in, I, J, K) to (B, channels_out, I, J, K).

        Raises:
            ValueError: the grid is not a multiple of `multiple`.
        """
        if any(n % self.multiple for n in x.shape[2:]):
            raise ValueError(
                f"grid {tuple(x.shape[2:])} must be a multiple of {self.multiple} along each axis"
            )
        h = fold(x)
        if context is not None:
            h = torch.cat([h, context.to(h.dtype).expand(h.shape[0], -1, -1, -1, -1)], dim=1)
        h = self.stem(h.contiguous(memory_format=torch.channels_last_3d))
        skips = [h]
        for down in self.down:
            h = down(h)
            skips.append(h)
        for up, merge, skip in zip(
            reversed(self.up), reversed(self.merge), reversed(skips[:-1]), strict=True
        ):
            h = merge(up(h) + skip)
        return unfold(self.head(h))


class Refinement(nn.Sequential):
    """Two full-resolution convolutions that correct a U-Net's answer voxel by voxel.

    The U-Net learns each of the eight voxels of a folded block by itself; here one set of weights
    serves every voxel, so that local detail is learnt eight times as often. Starts at zero.

    Shapes:
        (B, channels_in, I, J, K) to (B, channels_out, I, J, K), same grid.
    """

    def __init__(self, channels_in: int, channels_out: int, width: int = 16) -> None:
        last = nn.Conv3d(width, channels_out, 3, padding=1)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        super().__init__(
            nn.Conv3d(channels_in, width, 3, padding=1), nn.LeakyReLU(0.1, inplace=True), last
        )

    def forward(self, *parts: Tensor) -> Tensor:
        """Read the parts side by side, channels_in in all; laid out with channels last first."""
        last = torch.channels_last_3d
        x = torch.cat([part.contiguous(memory_format=last) for part in parts], dim=1)
        for layer in self:
            x = layer(x)
        return x
