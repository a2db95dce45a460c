"""Networks of the baselines, all MONAI's, in the sizes that two cores can train."""

from __future__ import annotations

from typing import Any

import torch

from anatomaly.errors import TrainingError
from anatomaly.evaluation.benchmark.slices import FACTOR
from anatomaly.geometry import TEMPLATE_SHAPE

SLICE_SHAPE = (TEMPLATE_SHAPE[0] // FACTOR, TEMPLATE_SHAPE[1] // FACTOR)
CHANNELS = (16, 32, 64, 128)
LATENT = 128


def _networks() -> Any:
    """Import MONAI's networks, or say how to get them."""
    try:
        from monai.networks import nets
    except ImportError as error:
        raise TrainingError(
            "the networks of the baselines are MONAI's, which is not installed: "
            "pip install 'anatomaly[bench]'"
        ) from error
    return nets


def make_dense_autoencoder(seed: int, *, channels_in: int = 1, sigmoid: bool = True) -> Any:
    """Return an autoencoder with a dense bottleneck of `LATENT` numbers, variational or not.

    Four convolutions of stride 2, batch normalisation; `encode_forward` and `decode_forward` are
    its halves. One that is not variational decodes the mean.
    """
    torch.manual_seed(seed)
    return _networks().VarAutoEncoder(
        spatial_dims=2,
        in_shape=(channels_in, *SLICE_SHAPE),
        out_channels=channels_in,
        latent_size=LATENT,
        channels=CHANNELS,
        strides=(2,) * len(CHANNELS),
        norm="batch",
        use_sigmoid=sigmoid,
    )


def make_unet(seed: int, *, channels_in: int = 1, channels_out: int = 1, dims: int = 2) -> Any:
    """Return a U-Net with skip connections, three halvings."""
    torch.manual_seed(seed)
    return _networks().UNet(
        spatial_dims=dims,
        in_channels=channels_in,
        out_channels=channels_out,
        channels=CHANNELS,
        strides=(2, 2, 2),
        num_res_units=1,
    )


def make_diffusion_unet(seed: int, *, channels_in: int = 1, condition: int = 0) -> Any:
    """Return the U-Net of a diffusion model; called with a noisy slice and its time.

    Args:
        seed: of the weights.
        channels_in: 1, and more where an image is given along.
        condition: length of a vector for cross-attention; 0 for none.
    """
    torch.manual_seed(seed)
    nets = _networks()
    attention = {"with_conditioning": True, "cross_attention_dim": condition} if condition else {}
    try:
        return nets.DiffusionModelUNet(
            spatial_dims=2,
            in_channels=channels_in,
            out_channels=1,
            num_res_blocks=1,
            channels=(16, 32, 64),
            attention_levels=(False, False, bool(condition)),
            norm_num_groups=8,
            num_head_channels=16,
            **attention,
        )
    except ImportError as error:
        raise TrainingError(f"{error}; pip install 'anatomaly[bench]'") from error
