"""The stages of training, each a module whose `step` turns a batch into named losses.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922 (disentangled representation and
edge-to-image restoration). What differs: healthy tissue is asked for even where the image shows a
drawn lesion, so that the outline of a lesion is not read as anatomy.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from anatomaly.model.anatomy_extractor import Anatomy
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import losses
from anatomaly.training.synthesis.contrast import CONTRASTS
from anatomaly.training.synthesis.corrupt import corrupt_tissue, deform_locally, drop_edges
from anatomaly.training.synthesis.generator import Pair
from anatomaly.training.synthesis.random_draws import Draws, Rng, chance, integer

Losses = dict[str, Tensor]

CLASS_WEIGHT = (0.6, 1.6, 1.0, 1.0)
"""Cross-entropy weights of background, CSF, grey and white matter."""


def pair_context(model: PseudoHealthyModel, batch: Pair) -> Tensor:
    """Template context of each patch of a batch, once per pair: (B, 6, I/2, J/2, K/2)."""
    i, j, k = batch["brain"].shape[2:]
    context: Tensor = model.context(batch["start"], (i, j, k))
    return context


LESION_WEIGHT = 6.0
"""Lesions are few voxels: one of theirs counts as much as this many others."""


def lesion_weight(lesion: Tensor, inside: float = LESION_WEIGHT) -> Tensor:
    """Weight of each voxel of a lesion mask: 1 outside, `inside` in it."""
    return 1 + (inside - 1) * lesion


WINDOW = 48
"""Side of the part of a patch whose intensities are compared, voxels."""


def _random_window(grid: torch.Size, rng: Rng) -> tuple[slice, ...]:
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


def swap_members(values: Tensor) -> Tensor:
    """Exchange the members of each pair: (2B, …), pairs side by side, the same shape.

    >>> swap_members(torch.tensor([1, 2, 3, 4])).tolist()
    [2, 1, 4, 3]
    """
    return values.reshape(-1, 2, *values.shape[1:]).flip(1).flatten(0, 1)


def known_sequence(sequence: Tensor) -> Tensor:
    """Index into `contrast.CONTRASTS`, −1 for `random`, which is no sequence in particular."""
    return torch.where(sequence == CONTRASTS.index("random"), -1, sequence)


class AnatomyStage(nn.Module):
    """E_A: tissue prior on both members of a pair, and their consistency."""

    def __init__(self, model: PseudoHealthyModel) -> None:
        super().__init__()
        self.model = model
        self.trained = model.anatomy_extractor

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` is not used."""
        del step
        image = batch["image"].flatten(0, 1)  # (2B, 1, I, J, K), the pair side by side
        context = pair_context(self.model, batch).repeat_interleave(2, dim=0)
        means = batch["tissue_means"].flatten(0, 1)
        return anatomy_losses(batch, self.model.anatomy_extractor.logits(image, context, means))


class DisentangleStage(nn.Module):
    """DRM: E_A, encoder, E_M and R_D together, on both members of a pair.

    The anatomy that E_A finds in one image, with its own modality code, gives that image (`self`),
    and with the code of its partner the partner (`cross`), both without lesion. Gradients reach
    E_A through its one-hot tissue map. The code of what was rebuilt is the code put in (`cycle`).

    Args:
        model: all parts.
        one_hot: encode the one-hot tissue map; without it E_A's tissue shares, which can carry
            intensities (for the ablation: weights trained so must be used so).
    """

    def __init__(self, model: PseudoHealthyModel, one_hot: bool = True) -> None:
        super().__init__()
        self.model = model
        self.one_hot = one_hot
        self.trained = nn.ModuleList(
            [
                model.anatomy_extractor,
                model.anatomy_encoder,
                model.modality_extractor,
                model.representation_combiner,
            ]
        )

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` seeds the window that is compared."""
        model, combine = self.model, self.model.representation_combiner
        image, target = batch["image"].flatten(0, 1), batch["healthy"].flatten(0, 1)
        context = pair_context(model, batch).repeat_interleave(2, dim=0)
        anatomy: Anatomy = model.anatomy_extractor(
            image, context, batch["tissue_means"].flatten(0, 1)
        )
        code = model.anatomy_encoder(
            anatomy.tissue_map if self.one_hot else anatomy.shares, context
        )
        found_map = anatomy.tissue_map.detach()  # anatomy must not learn to carry the modality
        modality = model.modality_extractor(image, found_map)
        rng = Draws(7_919 * step + 37, batch["brain"].device)
        window = _random_window(image.shape[2:], rng)
        mask = batch["brain"].repeat_interleave(2, dim=0)[window]
        own = combine(code[window], modality) * mask
        crossed = combine(code[window], swap_members(modality)) * mask
        again = model.modality_extractor(crossed, found_map[window])
        return anatomy_losses(batch, anatomy.logits) | {
            "self": losses.reconstruction_loss(own, target[window], mask),
            "cross": losses.reconstruction_loss(crossed, swap_members(target)[window], mask),
            "margin": losses.margin_loss(modality, known_sequence(batch["sequence"].flatten())),
            "cycle": losses.modality_loss(again, swap_members(modality).detach()),
        }


def restorer_loss(batch: Pair, logits: Tensor) -> Tensor:
    """Tissue prior of R_E's logits (B, 4, I, J, K): healthy tissue, in lesions too."""
    weight = torch.tensor(CLASS_WEIGHT, device=logits.device)
    return losses.tissue_loss(logits, batch["tissue"], weight, lesion_weight(batch["lesion"][:, 0]))


class EdgeStage(nn.Module):
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

    def __init__(
        self, model: PseudoHealthyModel, deformed_share: float = 0.0, corrupt: bool = True
    ) -> None:
        super().__init__()
        self.model = model
        self.deformed_share = deformed_share
        self.corrupt = corrupt
        self.trained = model.anatomy_restorer

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch; `step` seeds the corruption."""
        rng = Draws(7_919 * step + 29, batch["brain"].device)
        context = pair_context(self.model, batch)
        healthy_map = healthy_tissue_map(batch)
        edges = self._edges(healthy_map, batch["lesion"], rng)
        return {"tissue": restorer_loss(batch, self.trained.logits(edges, context))}

    def _edges(self, healthy_map: Tensor, lesion: Tensor, rng: Rng) -> Tensor:
        """Edges as the restorer will meet them: (B, 1 or 3, I, J, K)."""
        seen_map = corrupt_tissue(healthy_map, lesion, rng) if self.corrupt else healthy_map
        edges = self.model.find_edges(deform_locally(seen_map, rng, self.deformed_share))
        return drop_edges(edges, rng) if self.corrupt else edges


class RestorationStage(nn.Module):
    """Encoder, E_M, R_D and R_E: self- and cross-reconstruction, modality cycle, edges to tissue.

    `straight` trains the route without edges: the code of the map as it was seen, lesion and all,
    must decode to the healthy image too.

    Args:
        model: all parts.
        extractor_share: share of batches whose edges come from E_A's own map of the image with
            its lesion; the others come from the healthy labels, corrupted.
        deformed_share: as in `EdgeStage`, of the maps whose edges are restored.
    """

    def __init__(
        self,
        model: PseudoHealthyModel,
        extractor_share: float = 0.0,
        deformed_share: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.extractor_share = extractor_share
        self.deformed_share = deformed_share
        self.trained = nn.ModuleList(
            [
                model.anatomy_encoder,
                model.modality_extractor,
                model.representation_combiner,
                model.anatomy_restorer,
            ]
        )

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` seeds the corruption."""
        model = self.model
        rng = Draws(7_919 * step + 13, batch["brain"].device)
        context, healthy_map, seen_map = self._see(batch, rng)
        code = model.anatomy_encoder(healthy_map, context)
        outlines = model.find_edges(deform_locally(seen_map, rng, self.deformed_share))
        edges = drop_edges(outlines, rng)
        restored_logits = model.anatomy_restorer.logits(edges, context)
        restored = model.anatomy_encoder(torch.softmax(restored_logits.float(), dim=1), context)
        codes = {"restored": restored, "straight": model.anatomy_encoder(seen_map, context)}
        decoded = self._decode(batch, (code, healthy_map, seen_map), codes, rng)
        return decoded | {"tissue": restorer_loss(batch, restored_logits)}

    def _decode(
        self,
        batch: Pair,
        healthy: tuple[Tensor, Tensor, Tensor],
        codes: Mapping[str, Tensor],
        rng: Rng,
    ) -> Losses:
        """Losses of what codes decode to, in a random window, against the healthy images.

        Args:
            batch: of pairs.
            healthy: code of the healthy map, that map, and the map as it was seen.
            codes: further codes, which must decode to the first image, by the name of their loss.
            rng: of the window.
        """
        model, combine = self.model, self.model.representation_combiner
        code, healthy_map, seen_map = healthy
        modality = [model.modality_extractor(batch["image"][:, n], seen_map) for n in (0, 1)]
        window = _random_window(batch["brain"].shape[2:], rng)
        mask = batch["brain"][window]
        target = [batch["healthy"][:, n][window] for n in (0, 1)]
        rebuilt = [combine(code[window], modality[n]) * mask for n in (0, 1)]
        again = model.modality_extractor(rebuilt[1], healthy_map[window])
        found = {
            "first": losses.reconstruction_loss(rebuilt[0], target[0], mask),
            "second": losses.absolute_loss(rebuilt[1], target[1], mask),
            "cycle": losses.modality_loss(again, modality[1].detach()),
        }
        for name, other in codes.items():
            image = combine(other[window], modality[0]) * mask
            found[name] = losses.reconstruction_loss(image, target[0], mask)
        return found

    def _see(self, batch: Pair, rng: Rng) -> tuple[Tensor, Tensor, Tensor]:
        """Context, healthy tissue map and the map as it was seen."""
        context = pair_context(self.model, batch)
        healthy_map = healthy_tissue_map(batch)
        return context, healthy_map, self._seen_map(batch, healthy_map, context, rng)

    def _seen_map(self, batch: Pair, healthy_map: Tensor, context: Tensor, rng: Rng) -> Tensor:
        """Tissue map as the restorer will meet it: E_A's, or healthy labels corrupted."""
        if chance(rng, self.extractor_share):
            with torch.no_grad():
                anatomy: Anatomy = self.model.anatomy_extractor(
                    batch["image"][:, 0], context, batch["tissue_means"][:, 0]
                )
            return anatomy.tissue_map
        return corrupt_tissue(healthy_map, batch["lesion"], rng)


class StraightStage(RestorationStage):
    """The route without edges: encoder, E_M and R_D on the tissue map that E_A finds.

    The code of the map as it was seen, lesion and all, must be the code of the healthy map and
    decode to the healthy image; voxels of lesions count more, as in `AnatomyStage`.
    """

    def __init__(self, model: PseudoHealthyModel, extractor_share: float = 0.85) -> None:
        super().__init__(model, extractor_share)
        self.trained = nn.ModuleList(
            [model.anatomy_encoder, model.modality_extractor, model.representation_combiner]
        )

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` seeds the corruption."""
        model = self.model
        rng = Draws(7_919 * step + 31, batch["brain"].device)
        context, healthy_map, seen_map = self._see(batch, rng)
        with torch.no_grad():
            healthy_code = model.anatomy_encoder(healthy_map, context)
        logits = model.anatomy_encoder.logits(seen_map, context)
        modality = model.modality_extractor(batch["image"][:, 0], seen_map)
        window = _random_window(batch["brain"].shape[2:], rng)
        mask = batch["brain"][window]
        code = torch.softmax(logits[window].float(), dim=1)
        rebuilt = model.representation_combiner(code, modality) * mask
        weight = batch["brain"] * lesion_weight(batch["lesion"])
        return {
            "straight": losses.reconstruction_loss(rebuilt, batch["healthy"][:, 0][window], mask),
            "code": losses.code_loss(logits, healthy_code, weight),
        }


class FinetuneStage(nn.Module):
    """E_M and R_D alone, for a new sequence or scanner; the anatomy networks stay as they are.

    The codes that the frozen networks find, from the tissue map and from its edges, must decode to
    the healthy image.
    """

    def __init__(self, model: PseudoHealthyModel) -> None:
        super().__init__()
        self.model = model
        self.trained = nn.ModuleList([model.modality_extractor, model.representation_combiner])

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` seeds the window that is compared."""
        model, combine = self.model, self.model.representation_combiner
        image, target = batch["image"].flatten(0, 1), batch["healthy"].flatten(0, 1)
        with torch.no_grad():
            context = pair_context(model, batch).repeat_interleave(2, dim=0)
            means = batch["tissue_means"].flatten(0, 1)
            tissue_map = model.anatomy_extractor(image, context, means).tissue_map
            code = model.anatomy_encoder(tissue_map, context)
            healthy = model.anatomy_restorer(model.find_edges(tissue_map), context)
            restored = model.anatomy_encoder(healthy, context)
        modality = model.modality_extractor(image, tissue_map)
        rng = Draws(7_919 * step + 41, batch["brain"].device)
        window = _random_window(image.shape[2:], rng)
        mask = batch["brain"].repeat_interleave(2, dim=0)[window]
        straight = combine(code[window], modality) * mask
        from_edges = combine(restored[window], modality) * mask
        again = model.modality_extractor(straight, tissue_map[window])
        return {
            "straight": losses.reconstruction_loss(straight, target[window], mask),
            "restored": losses.reconstruction_loss(from_edges, target[window], mask),
            "cycle": losses.modality_loss(again, modality.detach()),
        }
