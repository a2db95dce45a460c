"""The stages that restore: from edges, straight from the tissue map, or both routes at once.

Source: as in `stages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from anatomaly.model.anatomy_edges import anatomy_edges, edge_mask
from anatomaly.model.anatomy_extractor import Anatomy
from anatomaly.model.anatomy_restorer import AnatomyRestorer
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import losses
from anatomaly.training.stages import (
    DECODING,
    Losses,
    PairStage,
    healthy_tissue_map,
    lesion_weight,
    pair_context,
    random_window,
    restorer_loss,
)
from anatomaly.training.synthesis.corrupt import corrupt_tissue, deform_locally, drop_edges
from anatomaly.training.synthesis.generator import Pair
from anatomaly.training.synthesis.random_draws import Rng, chance

ROUTES_LESION_WEIGHT = 5.0
"""In `RoutesStage` a voxel of a lesion counts as much as this many others of the code."""


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


class RoutesStage(RestorationStage):
    """Both routes in one step: encoder, E_M, R_D and all restorers on the map that E_A finds.

    Where time is short this saves a pass through extractor and encoder, and no stage undoes what
    another has learnt.

    The code of that map (`straight_code`) must be that of the healthy map, the tissue restored from
    its edges (`tissue_oriented`, `tissue_canny`) the healthy one, and both must decode to the
    healthy image (`straight`; `restored_oriented`, `restored_canny`). Edges are dropped in half of
    the batches. Restorers of both kinds see the same samples.
    """

    parts = (*DECODING, "anatomy_restorers")
    salt = 43

    def __init__(self, model: PseudoHealthyModel) -> None:
        super().__init__(model, extractor_share=0.7)

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` seeds the corruption."""
        model, rng = self.model, self.draws(batch, step)
        context, healthy_map, seen_map = self._see(batch, rng)
        code = model.anatomy_encoder(healthy_map, context)
        straight = model.anatomy_encoder.logits(seen_map, context)
        codes = {"straight": torch.softmax(straight.float(), dim=1)}
        weight = batch["brain"] * lesion_weight(batch["lesion"], ROUTES_LESION_WEIGHT)
        coded = {"straight_code": losses.code_loss(straight, code.detach(), weight)}
        outlines = anatomy_edges(seen_map, "oriented")
        outlines = drop_edges(outlines, rng) if chance(rng, 0.5) else outlines
        for kind, restorer in model.anatomy_restorers.items():
            edges = outlines if kind == "oriented" else edge_mask(outlines)
            restored = cast(AnatomyRestorer, restorer).logits(edges, context)
            shares = torch.softmax(restored.float(), dim=1)
            codes[f"restored_{kind}"] = model.anatomy_encoder(shares, context)
            coded[f"tissue_{kind}"] = restorer_loss(batch, restored)
        return self._decode(batch, (code, healthy_map, seen_map), codes, rng) | coded
