"""The five parts joined, every intermediate named."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.anatomy_edges import anatomy_edges
from anatomaly.model.anatomy_encoder import AnatomyEncoder
from anatomaly.model.anatomy_extractor import AnatomyExtractor, tissue_means
from anatomaly.model.anatomy_restorer import AnatomyRestorer
from anatomaly.model.modality_extractor import ModalityExtractor
from anatomaly.model.representation_combiner import RepresentationCombiner
from anatomaly.model.template_context import TemplateContext
from anatomaly.types import Route


class Rebuilt(NamedTuple):
    """Everything between an image and its pseudo-healthy counterpart.

    Attributes:
        anatomical_image: (B, 1, I, J, K) in [0, .72].
        tissue_map: (B, 4, I, J, K) one-hot.
        edges: (B, 1, I, J, K) in {0, 1}.
        anatomical_code: (B, 8, I, J, K), channels sum to 1.
        modality_code: (B, 16).
        pseudo_healthy: (B, 1, I, J, K) in [0, 1], 0 outside the brain mask.
    """

    anatomical_image: Tensor
    tissue_map: Tensor
    edges: Tensor
    anatomical_code: Tensor
    modality_code: Tensor
    pseudo_healthy: Tensor


class PseudoHealthyModel(nn.Module):
    """Extractor, edges, restorer, modality extractor and combiner; encoder, for training."""

    def __init__(self) -> None:
        super().__init__()
        self.context = TemplateContext()
        self.anatomy_extractor = AnatomyExtractor()
        self.anatomy_encoder = AnatomyEncoder()
        self.anatomy_restorer = AnatomyRestorer()
        self.modality_extractor = ModalityExtractor()
        self.representation_combiner = RepresentationCombiner()

    def forward(self, image: Tensor, brain_mask: Tensor, route: Route = "edges") -> Rebuilt:
        """Rebuild a whole prepared image as if it were healthy.

        Args:
            image: (B, 1, 160, 192, 160) in [0, 1], 0 outside the brain.
            brain_mask: (B, 1, 160, 192, 160), 1 inside.
            route: `edges` restores the anatomical code from edges alone (the method);
                `tissue_map` encodes the extractor's tissue map instead (the ablation).
        """
        context = self.context(size=TEMPLATE_SHAPE)
        means = tissue_means(image, context)
        anatomical_image, tissue_map, _ = self.anatomy_extractor(image, context, means)
        edges = anatomy_edges(tissue_map)
        if route == "edges":
            anatomical_code = self.anatomy_restorer(edges, context)
        else:
            anatomical_code = self.anatomy_encoder(tissue_map, context)
        modality_code = self.modality_extractor(image, tissue_map)
        pseudo_healthy = self.representation_combiner(anatomical_code, modality_code)
        return Rebuilt(
            anatomical_image,
            tissue_map,
            edges,
            anatomical_code,
            modality_code,
            (pseudo_healthy * brain_mask).to(torch.float32),
        )
