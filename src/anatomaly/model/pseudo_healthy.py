"""The five parts joined, every intermediate named."""

from __future__ import annotations

from collections.abc import Sequence
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
from anatomaly.types import EdgeKind, SingleRoute


class PatientAnatomy(NamedTuple):
    """What the extractor sees in an image.

    Attributes:
        context: (1, 6, I/2, J/2, K/2) of `TemplateContext`.
        anatomical_image: (B, 1, I, J, K) in [0, .72].
        tissue_map: (B, 4, I, J, K) one-hot.
        edges: (B, 1 or 3, I, J, K) of `anatomy_edges`, of the model's kind.
    """

    context: Tensor
    anatomical_image: Tensor
    tissue_map: Tensor
    edges: Tensor


class Rebuilt(NamedTuple):
    """Everything between an image and its pseudo-healthy counterpart.

    Attributes:
        anatomical_image: (B, 1, I, J, K) in [0, .72].
        tissue_map: (B, 4, I, J, K) one-hot.
        edges: (B, 1 or 3, I, J, K) of `anatomy_edges`, of the model's kind.
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
    """Extractor, edges, restorer, modality extractor and combiner; encoder, for training.

    Args:
        kinds: of edges that there is a restorer for; `edges` says which one is used, the first.
    """

    def __init__(self, kinds: Sequence[EdgeKind] = ("oriented",)) -> None:
        super().__init__()
        self.edges: EdgeKind = kinds[0]
        self.context = TemplateContext()
        self.anatomy_extractor = AnatomyExtractor()
        self.anatomy_encoder = AnatomyEncoder()
        self.anatomy_restorers = nn.ModuleDict({kind: AnatomyRestorer(kind) for kind in kinds})
        self.modality_extractor = ModalityExtractor()
        self.representation_combiner = RepresentationCombiner()

    def use_edges(self, kind: EdgeKind) -> None:
        """Restore from edges of this kind; a restorer that was not there is an untrained one."""
        if kind not in self.anatomy_restorers:
            self.anatomy_restorers[kind] = AnatomyRestorer(kind)
        self.edges = kind

    @property
    def anatomy_restorer(self) -> AnatomyRestorer:
        """The restorer of the edges in use."""
        restorer = self.anatomy_restorers[self.edges]
        assert isinstance(restorer, AnatomyRestorer)
        return restorer

    def find_edges(self, tissue_map: Tensor) -> Tensor:
        """Edges of a one-hot tissue map, of the kind in use; see `anatomy_edges`."""
        return anatomy_edges(tissue_map, self.edges)

    def forward(self, image: Tensor, brain_mask: Tensor, route: SingleRoute = "edges") -> Rebuilt:
        """Rebuild a whole prepared image as if it were healthy, as the paper does.

        Args:
            image: (B, 1, 160, 192, 160) in [0, 1], 0 outside the brain.
            brain_mask: (B, 1, 160, 192, 160), 1 inside.
            route: see `restore`.
        """
        anatomy = self.extract(image)
        anatomical_code = self.restore(anatomy, route)
        modality_code = self.modality_extractor(image, anatomy.tissue_map)
        pseudo_healthy = self.combine(anatomical_code, modality_code, brain_mask)
        return Rebuilt(*anatomy[1:], anatomical_code, modality_code, pseudo_healthy)

    def extract(self, image: Tensor) -> PatientAnatomy:
        """See the anatomy of an image; image as in `forward`."""
        context = self.context(size=TEMPLATE_SHAPE)
        means = tissue_means(image, context)
        anatomical_image, tissue_map, _ = self.anatomy_extractor(image, context, means)
        return PatientAnatomy(context, anatomical_image, tissue_map, self.find_edges(tissue_map))

    def restore(self, anatomy: PatientAnatomy, route: SingleRoute) -> Tensor:
        """Return the code of the healthy anatomy, (B, 8, I, J, K).

        Args:
            anatomy: of `extract`.
            route: `edges` restores healthy tissue from edges alone (the method);
                `tissue_map` takes the extractor's tissue map instead (the ablation).
        """
        healthy = anatomy.tissue_map
        if route == "edges":
            healthy = self.anatomy_restorer(anatomy.edges, anatomy.context)
        anatomical_code: Tensor = self.anatomy_encoder(healthy, anatomy.context)
        return anatomical_code

    def combine(self, anatomical_code: Tensor, modality_code: Tensor, mask: Tensor) -> Tensor:
        """Decode the pseudo-healthy image, (B, 1, I, J, K) float32, 0 outside the brain mask."""
        decoded: Tensor = self.representation_combiner(anatomical_code, modality_code)
        return (decoded * mask).to(torch.float32)
