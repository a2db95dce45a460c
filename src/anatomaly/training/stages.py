"""The stages of training, each a module whose `step` turns a batch into named losses.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922 (disentangled representation and
edge-to-image restoration). What differs: healthy tissue is asked for even where the image shows a
drawn lesion, so that the outline of a lesion is not read as anatomy.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from anatomaly.model.anatomy_extractor import Anatomy
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import losses
from anatomaly.training.synthesis.contrast import CONTRASTS
from anatomaly.training.synthesis.corrupt import corrupt_tissue, deform_locally, drop_edges
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


class AnatomyStage(PairStage):
    """E_A: tissue prior on both members of a pair, and their consistency."""

    parts = ("anatomy_extractor",)

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` is not used."""
        del step
        return anatomy_losses(batch, self.model.anatomy_extractor.logits(*self.members(batch)))


class DisentangleStage(PairStage):
    """DRM: E_A, encoder, E_M and R_D together, on both members of a pair.

    The anatomy that E_A finds in one image, with its own modality code, gives that image (`self`),
    and with the code of its partner the partner (`cross`), both without lesion. Gradients reach
    E_A through its one-hot tissue map. The code of what was rebuilt is the code put in (`cycle`).

    Args:
        model: all parts.
        one_hot: encode the one-hot tissue map; without it E_A's tissue shares, which can carry
            intensities (for the ablation: weights trained so must be used so).
    """

    parts = ("anatomy_extractor", *DECODING)
    salt = 37

    def __init__(self, model: PseudoHealthyModel, one_hot: bool = True) -> None:
        super().__init__(model)
        self.one_hot = one_hot

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` seeds the window that is compared."""
        model, combine = self.model, self.model.representation_combiner
        image, context, means = self.members(batch)
        anatomy: Anatomy = model.anatomy_extractor(image, context, means)
        tissue = anatomy.tissue_map if self.one_hot else anatomy.shares
        code = model.anatomy_encoder(tissue, context)
        tissue_map = anatomy.tissue_map.detach()  # anatomy must not learn to carry the modality
        modality = model.modality_extractor(image, tissue_map)
        window = random_window(image.shape[2:], self.draws(batch, step))
        mask = batch["brain"].repeat_interleave(2, dim=0)[window]
        target = batch["healthy"].flatten(0, 1)
        own = combine(code[window], modality) * mask
        crossed = combine(code[window], swap_members(modality)) * mask
        again = model.modality_extractor(crossed, tissue_map[window])
        return anatomy_losses(batch, anatomy.logits) | {
            "self": losses.reconstruction_loss(own, target[window], mask),
            "cross": losses.reconstruction_loss(crossed, swap_members(target)[window], mask),
            "margin": losses.margin_loss(modality, known_sequence(batch["sequence"].flatten())),
            "cycle": losses.modality_loss(again, swap_members(modality).detach()),
        }


class EdgeStage(PairStage):
    """R_E alone: from corrupted edges to the healthy tissue map; needs no image.

    Filling in anatomy between edges is the slowest thing to learn, and without images a step is
    four times cheaper.

    Args:
        model: all parts.
        deformed_share: share of the maps that are deformed at some place before their edges are
            taken, against the undeformed answer.
        corrupt: paint lesions into the map and drop edges; without it the restorer sees what it
            never meets in use, the whole edges of a healthy brain (for the ablation).
    """

    parts = ("anatomy_restorer",)
    salt = 29

    def __init__(
        self, model: PseudoHealthyModel, deformed_share: float = 0.0, corrupt: bool = True
    ) -> None:
        super().__init__(model)
        self.deformed_share, self.corrupt = deformed_share, corrupt

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch; `step` seeds the corruption."""
        rng = self.draws(batch, step)
        tissue_map = healthy_tissue_map(batch)
        if self.corrupt:
            tissue_map = corrupt_tissue(tissue_map, batch["lesion"], rng)
        edges = self.model.find_edges(deform_locally(tissue_map, rng, self.deformed_share))
        if self.corrupt:
            edges = drop_edges(edges, rng)
        logits = self.model.anatomy_restorer.logits(edges, pair_context(self.model, batch))
        return {"tissue": restorer_loss(batch, logits)}


class FinetuneStage(PairStage):
    """E_M and R_D alone, for a new sequence or scanner; the anatomy networks stay as they are.

    The codes that the frozen networks find, from the tissue map and from its edges, must decode to
    the healthy image.
    """

    parts = ("modality_extractor", "representation_combiner")
    salt = 41

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` seeds the window that is compared."""
        model, combine = self.model, self.model.representation_combiner
        with torch.no_grad():
            image, context, means = self.members(batch)
            tissue_map = model.anatomy_extractor(image, context, means).tissue_map
            code = model.anatomy_encoder(tissue_map, context)
            healthy = model.anatomy_restorer(model.find_edges(tissue_map), context)
            restored = model.anatomy_encoder(healthy, context)
        modality = model.modality_extractor(image, tissue_map)
        window = random_window(image.shape[2:], self.draws(batch, step))
        mask = batch["brain"].repeat_interleave(2, dim=0)[window]
        target = batch["healthy"].flatten(0, 1)[window]
        straight = combine(code[window], modality) * mask
        from_edges = combine(restored[window], modality) * mask
        again = model.modality_extractor(straight, tissue_map[window])
        return {
            "straight": losses.reconstruction_loss(straight, target, mask),
            "restored": losses.reconstruction_loss(from_edges, target, mask),
            "cycle": losses.modality_loss(again, modality.detach()),
        }
