"""The stages of training, each a module whose `step` turns a batch into named losses.

Source: Yang et al. 2026, doi:10.1016/j.media.2025.103922 (disentangled representation and
edge-to-image restoration). What differs: healthy tissue is asked for even where the image shows a
drawn lesion, so that the outline of a lesion is not read as anatomy.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from anatomaly.model.anatomy_extractor import Anatomy
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import losses
from anatomaly.training.pair_stage import (
    DECODING,
    Losses,
    PairStage,
    anatomy_losses,
    healthy_tissue_map,
    known_sequence,
    lesion_weight,
    pair_context,
    random_window,
    restorer_loss,
    swap_members,
)
from anatomaly.training.synthesis.corrupt import corrupt_tissue, deform_locally, drop_edges
from anatomaly.training.synthesis.generator import Pair
from anatomaly.training.synthesis.random_draws import Rng, chance


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


class RestorationStage(PairStage):
    """Encoder, E_M, R_D and R_E: self- and cross-reconstruction, modality cycle, edges to tissue.

    `straight` trains the route without edges: the code of the map as it was seen, lesion and all,
    must decode to the healthy image too.

    Args:
        model: all parts.
        extractor_share: share of batches whose edges come from E_A's own map of the image with
            its lesion; the others come from the healthy labels, corrupted.
        deformed_share: as in `EdgeStage`, of the maps whose edges are restored.
    """

    parts = (*DECODING, "anatomy_restorer")
    salt = 13

    def __init__(
        self, model: PseudoHealthyModel, extractor_share: float = 0.0, deformed_share: float = 0.0
    ) -> None:
        super().__init__(model)
        self.extractor_share, self.deformed_share = extractor_share, deformed_share

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` seeds the corruption."""
        model, rng = self.model, self.draws(batch, step)
        context, healthy_map, seen_map = self._see(batch, rng)
        code = model.anatomy_encoder(healthy_map, context)
        outlines = model.find_edges(deform_locally(seen_map, rng, self.deformed_share))
        logits = model.anatomy_restorer.logits(drop_edges(outlines, rng), context)
        restored = model.anatomy_encoder(torch.softmax(logits.float(), dim=1), context)
        codes = {"restored": restored, "straight": model.anatomy_encoder(seen_map, context)}
        decoded = self._decode(batch, (code, healthy_map, seen_map), codes, rng)
        return decoded | {"tissue": restorer_loss(batch, logits)}

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
        window = random_window(batch["brain"].shape[2:], rng)
        mask = batch["brain"][window]
        first, second = (batch["healthy"][:, n][window] for n in (0, 1))

        def rebuilt(code: Tensor) -> Tensor:
            image = combine(code[window], modality[0]) * mask
            return losses.reconstruction_loss(image, first, mask)

        partner = combine(code[window], modality[1]) * mask
        again = model.modality_extractor(partner, healthy_map[window])
        return {
            "first": rebuilt(code),
            "second": losses.absolute_loss(partner, second, mask),
            "cycle": losses.modality_loss(again, modality[1].detach()),
        } | {name: rebuilt(other) for name, other in codes.items()}

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

    parts = DECODING
    salt = 31

    def __init__(self, model: PseudoHealthyModel, extractor_share: float = 0.85) -> None:
        super().__init__(model, extractor_share)

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` seeds the corruption."""
        model, rng = self.model, self.draws(batch, step)
        context, healthy_map, seen_map = self._see(batch, rng)
        with torch.no_grad():
            healthy_code = model.anatomy_encoder(healthy_map, context)
        logits = model.anatomy_encoder.logits(seen_map, context)
        modality = model.modality_extractor(batch["image"][:, 0], seen_map)
        window = random_window(batch["brain"].shape[2:], rng)
        mask = batch["brain"][window]
        code = torch.softmax(logits[window].float(), dim=1)
        rebuilt = model.representation_combiner(code, modality) * mask
        weight = batch["brain"] * lesion_weight(batch["lesion"])
        return {
            "straight": losses.reconstruction_loss(rebuilt, batch["healthy"][:, 0][window], mask),
            "code": losses.code_loss(logits, healthy_code, weight),
        }


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
