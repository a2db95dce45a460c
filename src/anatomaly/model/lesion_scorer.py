"""The refined score: what in a scan and its expectations is a lesion, learnt from synthetic ones.

The paper's score multiplies residual and structural difference voxel by voxel. This small network
reads both beside the scan, the expectations, the tissue map and the difference to the other
hemisphere, over a neighbourhood, and answers with the logit of a lesion. It never saw a real
lesion: it is trained on drawn ones (outlines of real ones among them) in healthy scans.

Source: the combination of pseudo-healthy restoration with a segmentation of synthetic lesions
follows the idea of Tan et al. 2020 (foreign patch interpolation) and later work on synthetic
anomalies, doi:10.48550/arXiv.2011.04197; the network is ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from anatomaly.gaussian import gaussian_blur
from anatomaly.method import LESION_SIGN
from anatomaly.model.template_context import TemplateContext
from anatomaly.model.unet import Refinement, UNet3d
from anatomaly.types import SEQUENCES

EVIDENCE_CHANNELS = 9
"""Scan, nearer expectation, two residuals, asymmetry, structural difference, three tissues."""

ASYMMETRY_MM = 2.0
"""σ of the blur of the difference to the other hemisphere: they mirror one another that well."""


HEAD_START = (12.0, -4.0)
"""Slope and offset of the logit on the gap to the nearer expectation, to which the network adds:
untrained it ranks voxels as the residual of both routes does."""


def stack_evidence(
    image: Tensor,
    mirrored: Tensor,
    from_edges: Tensor,
    from_tissue: Tensor,
    structure: Tensor,
    tissue: Tensor,
) -> Tensor:
    """Lay what the scorer reads side by side.

    Args:
        image: (B, 1, I, J, K) in [0, 1], 0 outside the brain.
        mirrored: the image with left and right exchanged (`geometry.mirror`), same shape.
        from_edges: pseudo-healthy image of the route `edges`, its contrast fitted, same shape.
        from_tissue: the same of the route `tissue_map`.
        structure: 1 − SSIM of image and from_edges, in [0, 1], same shape.
        tissue: (B, I, J, K) int64, 0 to 3, of the extractor, 0 outside the brain.

    Returns:
        (B, 9, I, J, K).
    """
    nearer = image.clamp(
        torch.minimum(from_edges, from_tissue), torch.maximum(from_edges, from_tissue)
    )
    tissues = [(tissue == kind).unsqueeze(1).to(image.dtype) for kind in (1, 2, 3)]
    gaps = [image - from_edges, image - from_tissue]
    asymmetry = gaussian_blur(image - mirrored, [ASYMMETRY_MM] * 3, [5] * 3)
    return torch.cat([image, nearer, *gaps, asymmetry, structure, *tissues], dim=1)


def brain_of(evidence: Tensor) -> Tensor:
    """(B, 1, I, J, K) bool: where scan or expectation is above 0; black lesions belong to it."""
    return evidence[:, :2].amax(1, keepdim=True) > 0


def orient(evidence: Tensor, sequence: Tensor) -> Tensor:
    """Turn T1w evidence into its negative, so that in every sequence most lesions are bright.

    Grey values v become 1 − v inside the brain, differences change their sign; the rest stays.

    Args:
        evidence: (B, 9, I, J, K) of `stack_evidence`.
        sequence: (B,) int64, index into `types.SEQUENCES`.
    """
    dark = torch.tensor(
        [LESION_SIGN[name] == "darker" for name in SEQUENCES], device=evidence.device
    )
    turn = dark[sequence].view(-1, 1, 1, 1, 1)
    inside = brain_of(evidence).to(evidence.dtype)
    grey, differences, rest = evidence[:, :2], evidence[:, 2:5], evidence[:, 5:]
    grey = torch.where(turn, (1 - grey) * inside, grey)
    return torch.cat([grey, torch.where(turn, -differences, differences), rest], dim=1)


class LesionScorer(nn.Module):
    """U-Net from evidence, place in the template and sequence to the logit of a lesion.

    Args:
        channels: widths of the U-Net's levels.
    """

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        context = TemplateContext.channels + len(SEQUENCES)
        self.unet = UNet3d(EVIDENCE_CHANNELS, 1, channels, context=context)
        self.refinement = Refinement(EVIDENCE_CHANNELS + 1, 1)

    def forward(self, evidence: Tensor, context: Tensor, sequence: Tensor) -> Tensor:
        """Score evidence.

        Args:
            evidence: (B, 9, I, J, K) of `stack_evidence`.
            context: (B or 1, 6, I/2, J/2, K/2) of `TemplateContext`.
            sequence: (B,) int64, index into `types.SEQUENCES`.

        Returns:
            (B, 1, I, J, K) logits.
        """
        evidence = orient(evidence, sequence)
        known = F.one_hot(sequence, len(SEQUENCES)).to(context.dtype)
        known = known.view(len(sequence), -1, 1, 1, 1).expand(-1, -1, *context.shape[2:])
        place = context.expand(len(evidence), -1, -1, -1, -1)
        coarse: Tensor = self.unet(evidence, torch.cat([place, known], dim=1))
        correction: Tensor = self.refinement(coarse, evidence)
        slope, offset = HEAD_START
        gap = evidence[:, :1].float() - evidence[:, 1:2].float()
        return (coarse + correction).float() + slope * gap + offset
