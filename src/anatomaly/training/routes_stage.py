"""Both routes in one stage: from edges and straight from the tissue map, sharing all that they can.

`stages.RestorationStage` and `stages.StraightStage` in one step. Where time is short this saves a
pass through extractor and encoder, and no stage undoes what another has learnt.
"""

from __future__ import annotations

import torch

from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import losses
from anatomaly.training.stages import Losses, RestorationStage, restorer_loss
from anatomaly.training.synthesis.corrupt import drop_edges
from anatomaly.training.synthesis.generator import Pair
from anatomaly.training.synthesis.random_draws import Draws, chance

EXTRACTOR_SHARE = 0.7
LESION_WEIGHT = 5.0
"""A voxel of a lesion counts as much as this many others where codes are compared."""


class RoutesStage(RestorationStage):
    """Encoder, E_M, R_D and R_E on the map that E_A finds, lesion and all.

    The code of that map (`straight_code`) must be that of the healthy map, the tissue restored from
    its edges (`tissue`) the healthy one, and both must decode to the healthy image (`straight`,
    `restored`). Edges are dropped in half of the batches.
    """

    def __init__(self, model: PseudoHealthyModel) -> None:
        super().__init__(model, EXTRACTOR_SHARE)

    def step(self, batch: Pair, step: int = 0) -> Losses:
        """Losses of one batch of pairs; `step` seeds the corruption."""
        model, brain = self.model, batch["brain"]
        rng = Draws(7_919 * step + 43, brain.device)
        context, healthy_map, seen_map = self._see(batch, rng)
        code = model.anatomy_encoder(healthy_map, context)
        outlines = model.find_edges(seen_map)
        edges = drop_edges(outlines, rng) if chance(rng, 0.5) else outlines
        restored = model.anatomy_restorer.logits(edges, context)
        straight = model.anatomy_encoder.logits(seen_map, context)
        codes = {
            "restored": model.anatomy_encoder(torch.softmax(restored.float(), dim=1), context),
            "straight": torch.softmax(straight.float(), dim=1),
        }
        weight = brain * (1 + (LESION_WEIGHT - 1) * batch["lesion"])
        return self._decode(batch, (code, healthy_map, seen_map), codes, rng) | {
            "tissue": restorer_loss(batch, restored),
            "straight_code": losses.code_loss(straight, code.detach(), weight),
        }
