"""Both routes in one stage: from edges and straight from the tissue map, sharing all that they can.

`stages.RestorationStage` and `stages.StraightStage` in one step. Where time is short this saves a
pass through extractor and encoder, and no stage undoes what another has learnt.
"""

from __future__ import annotations

from typing import cast

import torch

from anatomaly.model.anatomy_edges import anatomy_edges, edge_mask
from anatomaly.model.anatomy_restorer import AnatomyRestorer
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import losses
from anatomaly.training.pair_stage import DECODING, Losses, lesion_weight, restorer_loss
from anatomaly.training.stages import RestorationStage
from anatomaly.training.synthesis.corrupt import drop_edges
from anatomaly.training.synthesis.generator import Pair
from anatomaly.training.synthesis.random_draws import chance

LESION_WEIGHT = 5.0
"""A voxel of a lesion counts as much as this many others where codes are compared."""


class RoutesStage(RestorationStage):
    """Encoder, E_M, R_D and all restorers on the map that E_A finds, lesion and all.

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
        weight = batch["brain"] * lesion_weight(batch["lesion"], LESION_WEIGHT)
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
