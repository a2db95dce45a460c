"""What all stages on batches of pairs share: their trained parts, draws, windows and losses."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import losses
from anatomaly.training.synthesis.contrast import CONTRASTS
from anatomaly.training.synthesis.generator import Pair
from anatomaly.training.synthesis.random_draws import Draws, Rng, integer

Losses = dict[str, Tensor]

CLASS_WEIGHT = (0.6, 1.6, 1.0, 1.0)
"""Cross-entropy weights of background, CSF, grey and white matter."""

LESION_WEIGHT = 6.0
"""Lesions are few voxels: one of theirs counts as much as this many others."""

DECODING: tuple[str, ...] = ("anatomy_encoder", "modality_extractor", "representation_combiner")
"""Parts of the model that turn a tissue map into an image."""

WINDOW = 48
"""Side of the part of a patch whose intensities are compared, voxels."""


def pair_context(model: PseudoHealthyModel, batch: Pair) -> Tensor:
    """Template context of each patch of a batch, once per pair: (B, 6, I/2, J/2, K/2)."""
    i, j, k = batch["brain"].shape[2:]
    context: Tensor = model.context(batch["start"], (i, j, k))
    return context


def lesion_weight(lesion: Tensor, inside: float = LESION_WEIGHT) -> Tensor:
    """Weight of each voxel of a lesion mask: 1 outside, `inside` in it."""
    return 1 + (inside - 1) * lesion


def random_window(grid: torch.Size, rng: Rng) -> tuple[slice, ...]:
    """Index of a random cube of (B, C, I, J, K), on even voxels."""
    window = [slice(None), slice(None)]
    for n in grid:
        size = min(WINDOW, n)
        first = 2 * integer(rng, (n - size) // 2 + 1)
        window.append(slice(first, first + size))
    return tuple(window)


def healthy_tissue_map(batch: Pair) -> Tensor:
    """One-hot tissue map (B, 4, I, J, K) of the healthy anatomy."""
    return nn.functional.one_hot(batch["tissue"], 4).permute(0, 4, 1, 2, 3).float()


def anatomy_losses(batch: Pair, logits: Tensor) -> Losses:
    """Tissue prior and consistency of E_A's logits (2B, 4, I, J, K), pairs side by side."""
    tissue = batch["tissue"].repeat_interleave(2, dim=0)
    lesion = batch["lesion"][:, 0].repeat_interleave(2, dim=0)
    weight = torch.tensor(CLASS_WEIGHT, device=logits.device)
    return {
        "tissue": losses.tissue_loss(logits, tissue, weight, lesion_weight(lesion)),
        "consistency": losses.consistency_loss(logits[0::2], logits[1::2]),
    }


def restorer_loss(batch: Pair, logits: Tensor) -> Tensor:
    """Tissue prior of R_E's logits (B, 4, I, J, K): healthy tissue, in lesions too."""
    weight = torch.tensor(CLASS_WEIGHT, device=logits.device)
    return losses.tissue_loss(logits, batch["tissue"], weight, lesion_weight(batch["lesion"][:, 0]))


def swap_members(values: Tensor) -> Tensor:
    """Exchange the members of each pair: (2B, …), pairs side by side, the same shape.

    >>> swap_members(torch.tensor([1, 2, 3, 4])).tolist()
    [2, 1, 4, 3]
    """
    return values.reshape(-1, 2, *values.shape[1:]).flip(1).flatten(0, 1)


def known_sequence(sequence: Tensor) -> Tensor:
    """Index into `contrast.CONTRASTS`, −1 for `random`, which is no sequence in particular."""
    return torch.where(sequence == CONTRASTS.index("random"), -1, sequence)


class PairStage(nn.Module):
    """A stage on batches of pairs.

    Args:
        model: all parts.
    """

    parts: ClassVar[tuple[str, ...]]
    """Names of the parts of the model that are trained, in the order of the checkpoint."""
    salt: ClassVar[int] = 0
    """Keeps the draws of its steps apart from those of other stages."""

    def __init__(self, model: PseudoHealthyModel) -> None:
        super().__init__()
        self.model = model
        parts = [getattr(model, name) for name in self.parts]
        self.trained = parts[0] if len(parts) == 1 else nn.ModuleList(parts)

    def draws(self, batch: Pair, step: int) -> Draws:
        """Return what a step draws from, on the device of the batch."""
        return Draws(7_919 * step + self.salt, batch["brain"].device)

    def members(self, batch: Pair) -> tuple[Tensor, Tensor, Tensor]:
        """Image, context and tissue means of both members of each pair, side by side: 2B."""
        context = pair_context(self.model, batch).repeat_interleave(2, dim=0)
        return batch["image"].flatten(0, 1), context, batch["tissue_means"].flatten(0, 1)
