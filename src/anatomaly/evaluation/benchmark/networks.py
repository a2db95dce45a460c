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


def make_gan(seed: int) -> tuple[Any, Any, Any]:
    """Return generator (codes to slices), critic (slices to a number) and encoder, untrained."""
    torch.manual_seed(seed)
    nets, halvings = _networks(), (2,) * len(CHANNELS)
    smallest = tuple(n // 2 ** len(CHANNELS) for n in SLICE_SHAPE)
    generator = nets.Generator(
        latent_shape=(LATENT,),
        start_shape=(CHANNELS[-1], *smallest),
        channels=(*CHANNELS[-2::-1], 1),
        strides=halvings,
        num_res_units=0,
    )
    critic = nets.Critic(
        in_shape=(1, *SLICE_SHAPE), channels=CHANNELS, strides=halvings, num_res_units=0, dropout=0
    )
    return generator, critic, make_encoder(seed + 1, LATENT)


def make_encoder(seed: int, numbers: int) -> Any:
    """Return a network from a slice to a vector of so many numbers."""
    torch.manual_seed(seed)
    return _networks().Regressor(
        in_shape=(1, *SLICE_SHAPE),
        out_shape=(numbers,),
        channels=CHANNELS,
        strides=(2,) * len(CHANNELS),
        num_res_units=0,
    )


def make_schedule(times: int, *, predicts: str = "sample") -> Any:
    """Return MONAI's DDIM scheduler with the linear schedule of Ho et al. 2020.

    Args:
        times: steps from clean to noise.
        predicts: `sample` or `epsilon`, what the network gives.
    """
    _networks()
    from monai.networks.schedulers.ddim import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=times,
        schedule="linear_beta",
        beta_start=1e-4,
        beta_end=2e-2,
        prediction_type=predicts,
    )


def make_feature_autoencoder(seed: int, channels: int) -> Any:
    """Return a convolutional autoencoder of feature maps: three halvings, 32 channels inside."""
    torch.manual_seed(seed)
    return _networks().AutoEncoder(
        spatial_dims=2,
        in_channels=channels,
        out_channels=channels,
        channels=(64, 64, 32),
        strides=(2, 2, 2),
        norm="batch",
    )
