"""What the shipped anatomy extractor sees of an image, for methods that stand on its shoulders."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.networks import as_tensor, running
from anatomaly.volume import PreparedImage
from anatomaly.weights import load_model


def load_extractor() -> PseudoHealthyModel:
    """Load the shipped weights.

    Raises:
        WeightsError: they cannot be used.
    """
    return load_model("default")[0]


@torch.no_grad()
def first_features(model: PseudoHealthyModel, prepared: PreparedImage) -> Tensor:
    """Return the first layer's features, (80, 32, 80, 96): slices of 2 mm from below.

    Args:
        model: of `load_extractor`.
        prepared: on the whole working grid.
    """
    features: list[Tensor] = []
    stem = model.anatomy_extractor.unet.stem
    handle = stem.register_forward_hook(lambda module, inputs, output: features.append(output))
    try:
        model.extract(as_tensor(prepared.image))
    finally:
        handle.remove()
    return features[0][0].float().permute(3, 0, 1, 2).contiguous()


@torch.no_grad()
def anatomical_image(model: PseudoHealthyModel, prepared: PreparedImage) -> np.ndarray:
    """Return the tissue map as one T1-like image, (160, 192, 160) in [0, .72], 0 outside."""
    with running():
        anatomy = model.extract(as_tensor(prepared.image))
    image: np.ndarray = anatomy.anatomical_image[0, 0].float().numpy() * prepared.brain_mask
    return image
