"""The networks on one image of an experiment, in half precision where the processor has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.engine import half_precision
from anatomaly.model.pseudo_healthy import Extracted, PseudoHealthyModel, Rebuilt
from anatomaly.types import BoolArray, FloatArray, SingleRoute


def as_tensor(volume: FloatArray | BoolArray) -> Tensor:
    """Turn (I, J, K) into a float32 tensor (1, 1, I, J, K)."""
    return torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None, None]


def class_indices(tissue_map: Tensor, brain_mask: BoolArray) -> NDArray[np.uint8]:
    """Turn a one-hot tissue map (1, 4, I, J, K) into classes (I, J, K), 0 outside the brain."""
    classes = tissue_map[0].argmax(0).to(torch.uint8).numpy()
    return np.where(brain_mask, classes, 0).astype(np.uint8)


def extract(model: PseudoHealthyModel, image: Tensor) -> Extracted:
    """Take anatomy and modality of an image (1, 1, I, J, K) in [0, 1] apart."""
    with running():
        return model.extract(image)


def restore(
    model: PseudoHealthyModel, seen: Extracted, mask: Tensor, route: SingleRoute, combine: bool
) -> Rebuilt:
    """Rebuild healthy anatomy; arguments as of `PseudoHealthyModel.restore`."""
    with running():
        return model.restore(seen, mask, route, combine)


@contextmanager
def running() -> Iterator[None]:
    """Run networks on the CPU without gradients, as `engine` does."""
    half = half_precision(torch.device("cpu"))
    with (
        torch.inference_mode(),
        torch.autocast("cpu", dtype=half or torch.bfloat16, enabled=half is not None),
    ):
        yield
