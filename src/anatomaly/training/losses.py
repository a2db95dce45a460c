"""Losses of the training stages: pure functions, each with its formula; lower is better."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from anatomaly.anomaly.ssim import ssim_map


def tissue_loss(
    logits: Tensor, tissue: Tensor, weight: Tensor | None = None, voxel_weight: Tensor | float = 1.0
) -> Tensor:
    """Tissue prior: weighted mean cross-entropy plus 1 − mean soft Dice over the four classes.

    Dice_k = (2 Σ p_k t_k + 1) / (Σ p_k + Σ t_k + 1); it keeps a rare class (CSF) alive.

    Args:
        logits: (B, 4, I, J, K).
        tissue: (B, I, J, K) int64.
        weight: (4,) class weights of the cross-entropy; None for 1.
        voxel_weight: (B, I, J, K), further weight of each voxel in the cross-entropy.
    """
    share = torch.ones(logits.shape[1], device=logits.device) if weight is None else weight
    share = share[tissue] * voxel_weight
    surprise = F.cross_entropy(logits.float(), tissue, reduction="none")
    cross_entropy = (share * surprise).sum() / share.sum()
    shares = torch.softmax(logits.float(), dim=1).flatten(2)
    truth = F.one_hot(tissue, logits.shape[1]).flatten(1, 3).transpose(1, 2).to(shares.dtype)
    overlap = 2 * (shares * truth).sum((0, 2)) + 1
    dice = overlap / (shares.sum((0, 2)) + truth.sum((0, 2)) + 1)
    return cross_entropy + 1 - dice.mean()


def consistency_loss(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    """Anatomy consistency: mean |softmax(a) − softmax(b)| of two contrasts of one anatomy."""
    return (torch.softmax(logits_a.float(), 1) - torch.softmax(logits_b.float(), 1)).abs().mean()


def absolute_loss(rebuilt: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean |φ − x| over the mask; shapes as in `reconstruction_loss`."""
    return ((rebuilt - target).abs() * mask).sum() / (mask.sum() + 1)


def reconstruction_loss(rebuilt: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean |φ − x| over the mask, plus .5 · (1 − SSIM) over it.

    Args:
        rebuilt: (B, 1, I, J, K) in [0, 1].
        target: the same shape.
        mask: (B, 1, I, J, K) of 0 and 1.
    """
    similarity = ssim_map(rebuilt * mask, target * mask, data_range=1.0)
    dissimilarity = ((1 - similarity) * mask).sum() / (mask.sum() + 1)
    return absolute_loss(rebuilt, target, mask) + 0.5 * dissimilarity


def code_loss(logits: Tensor, code: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy −Σ_c code_c log softmax(logits)_c, mean over the mask.

    Args:
        logits: (B, 8, I, J, K) of the encoder on the map as it was seen.
        code: (B, 8, I, J, K) of the encoder on the healthy tissue map, channels sum to 1.
        mask: (B, 1, I, J, K).
    """
    per_voxel = -(code * torch.log_softmax(logits.float(), dim=1)).sum(1, keepdim=True)
    return (per_voxel * mask).sum() / (mask.sum() + 1)


def modality_loss(codes_a: Tensor, codes_b: Tensor) -> Tensor:
    """Modality cycle: mean squared difference of two codes of the same contrast, (B, 16) each."""
    return (codes_a - codes_b).pow(2).mean()


def margin_loss(codes: Tensor, sequences: Tensor, margin: float = 0.5) -> Tensor:
    """Modality margin: codes of one sequence together, of different sequences apart.

    With d_ij = 1 − cos(c_i, c_j), mean over all pairs i < j of d_ij where the sequences are the
    same, and of max(0, margin − d_ij) where they differ. The length of a code stays free: it may
    say how strong the contrast is.

    Args:
        codes: (N, M) modality codes.
        sequences: (N,) int64; pairs with a negative entry (no sequence in particular) are left out.
        margin: in [0, 2].

    Returns:
        0 if no pair counts.

    Source: Hadsell et al. 2006, doi:10.1109/CVPR.2006.100, with the cosine distance.
    """
    first, second = torch.triu_indices(len(codes), len(codes), 1, device=codes.device)
    known = (sequences[first] >= 0) & (sequences[second] >= 0)
    first, second = first[known], second[known]
    distance = 1 - F.cosine_similarity(codes[first].float(), codes[second].float(), dim=1)
    same = sequences[first] == sequences[second]
    return torch.where(same, distance, F.relu(margin - distance)).sum() / max(1, len(distance))


def lesion_loss(logits: Tensor, share: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return `entropy`, 10 · mean cross-entropy over the mask, and `dice`, .5 · (1 − Dice).

    Dice = (2 Σ p s + 100) / (Σ p + Σ s + 100) over the whole batch.

    Args:
        logits: (B, 1, I, J, K).
        share: (B, 1, I, J, K) in [0, 1], share of lesion.
        mask: (B, 1, I, J, K) of 0 and 1.
    """
    surprise = F.binary_cross_entropy_with_logits(logits.float(), share, reduction="none")
    answer, truth = torch.sigmoid(logits.float()) * mask, share * mask
    overlap = (2 * (answer * truth).sum() + 100) / (answer.sum() + truth.sum() + 100)
    return {"entropy": 10 * (surprise * mask).sum() / (mask.sum() + 1), "dice": 0.5 * (1 - overlap)}


def weighted_sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Σ weight · loss, the weight of a loss that is not named being 1.

    >>> weighted_sum({"a": torch.tensor(2.0), "b": torch.tensor(3.0)}, {"b": 0.5})
    tensor(3.5000)
    """
    return torch.stack([weights.get(k, 1.0) * v.float() for k, v in losses.items()]).sum()
