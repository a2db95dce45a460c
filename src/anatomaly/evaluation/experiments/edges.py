"""Experiment 2: does R_E rebuild anatomy from edges alone, and is there a leak of intensities?

The leak is what changes in the restored code when every intensity inside the brain is replaced and
the edges are kept. By its design R_E has no other input, so it must be exactly 0; the route without
edges, measured the same way, shows that the test would see a leak.

Source: the claim is that of Yang et al. 2026, doi:10.1016/j.media.2025.103922.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from anatomaly.evaluation.experiments.drawn_brains import DrawnBrain, draw_brain, means_of, render
from anatomaly.evaluation.experiments.panels import Panel, axial_panel, draw_panels
from anatomaly.evaluation.experiments.tissue_agreement import (
    class_indices,
    decode_tissue,
    learn_reading,
    tissue_dice,
)
from anatomaly.model.pseudo_healthy import PatientAnatomy, PseudoHealthyModel
from anatomaly.networks import as_tensor
from anatomaly.score import extract_anatomy, restore_code
from anatomaly.types import SEQUENCES, BoolArray, MrSequence, SingleRoute


@dataclass(frozen=True)
class Restoration:
    """One scan.

    Attributes:
        brain: seed of the drawn brain.
        sequence: of the scan.
        map_truth: Dice (mean of three tissues) of the extractor's map against the truth: what the
            edges were made from.
        restored_map: of the tissue decoded from the restored code against the extractor's map.
        restored_csf: Dice of that tissue against the truth, one tissue each.
        restored_grey: the same.
        restored_white: the same.
        encoded_map: of the tissue decoded from the encoder's code (the route without edges)
            against the extractor's map: how well a code can be read at all.
        leak: largest change of the restored code with the intensities replaced, in [0, 1].
        leak_without_edges: the same on the route without edges.
    """

    brain: int
    sequence: str
    map_truth: float
    restored_map: float
    restored_csf: float
    restored_grey: float
    restored_white: float
    encoded_map: float
    leak: float
    leak_without_edges: float


@dataclass(frozen=True)
class EdgeRestoration:
    """Figures of the experiment.

    Attributes:
        rows: one a scan.
        panels: scan, edges, restored tissue and truth of the first scan of each sequence.
    """

    rows: tuple[Restoration, ...]
    panels: tuple[Panel, ...]


def run(model: PseudoHealthyModel, seed: int, count: int) -> EdgeRestoration:
    """Restore `count` drawn brains in every sequence from their edges.

    Args:
        model: in evaluation mode.
        seed: of the first brain.
        count: brains.
    """
    reading = learn_reading(model)
    rows, panels = list[Restoration](), list[Panel]()
    for number in range(seed, seed + count):
        brain, rng = draw_brain(number), np.random.default_rng([number, 19])
        for index, sequence in enumerate(SEQUENCES):
            image = as_tensor(render(brain, means_of(sequence, rng), 10 * number + index))
            row, shown = _measure(model, reading, brain, image, (number, sequence))
            rows.append(row)
            panels += shown if number == seed else []
    return EdgeRestoration(tuple(rows), tuple(panels))


def draw(result: EdgeRestoration, path: Path) -> None:
    """Draw scan, edges, restored tissue and truth side by side, one sequence a row."""
    csf, grey, white = np.mean(
        [(row.restored_csf, row.restored_grey, row.restored_white) for row in result.rows], axis=0
    )
    leak = max(row.leak for row in result.rows)
    heading = f"From edges alone: Dice of CSF {csf:.2f}, grey matter {grey:.2f}, "
    heading += f"white matter {white:.2f}; intensity leak {leak:g}"
    draw_panels(path, heading, result.panels, 4)


def replace_intensities(image: Tensor, mask: BoolArray, seed: int) -> Tensor:
    """Replace every intensity inside the brain by one uniform on [0, 1], without any anatomy.

    Args:
        image: (1, 1, I, J, K) in [0, 1].
        mask: (I, J, K), inside the brain.
        seed: of the new intensities.
    """
    values = torch.rand(image.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(torch.from_numpy(mask), values, image)


def measure_leak(
    model: PseudoHealthyModel, anatomy: PatientAnatomy, other: PatientAnatomy, route: SingleRoute
) -> tuple[Tensor, float]:
    """Rebuild with the edges of one image and all else from it, then all else from another.

    Args:
        model: in evaluation mode.
        anatomy: of the scan.
        other: of the scan with its intensities replaced.
        route: that is measured.

    Returns:
        The anatomical code of the scan, (1, 8, I, J, K), and its largest change, in [0, 1].
    """
    own = restore_code(model, anatomy, route)
    same_edges = other._replace(edges=anatomy.edges, context=anatomy.context)
    foreign = restore_code(model, same_edges, route)
    return own, float((own.float() - foreign.float()).abs().max())


def _measure(
    model: PseudoHealthyModel,
    reading: Tensor,
    brain: DrawnBrain,
    image: Tensor,
    scan: tuple[int, MrSequence],
) -> tuple[Restoration, list[Panel]]:
    """Measure one scan; `scan` names it by seed and sequence."""
    inside, truth = brain.brain_mask, brain.tissue_map
    anatomy = extract_anatomy(model, image)
    other = extract_anatomy(model, replace_intensities(image, inside, scan[0]))
    restored, leak = measure_leak(model, anatomy, other, "edges")
    encoded, control = measure_leak(model, anatomy, other, "tissue_map")
    own = class_indices(anatomy.tissue_map, inside)
    tissue = decode_tissue(restored, reading, inside)
    against_truth = tissue_dice(tissue, truth)
    row = Restoration(
        brain=scan[0],
        sequence=scan[1],
        map_truth=tissue_dice(own, truth).mean,
        restored_map=tissue_dice(tissue, own).mean,
        restored_csf=against_truth.csf,
        restored_grey=against_truth.grey,
        restored_white=against_truth.white,
        encoded_map=tissue_dice(decode_tissue(encoded, reading, inside), own).mean,
        leak=leak,
        leak_without_edges=control,
    )
    return row, [
        axial_panel(f"{scan[1]} scan", image[0, 0].numpy(), "image"),
        axial_panel("edges", anatomy.edges[0, 0].float().numpy(), "image"),
        axial_panel("tissue from edges alone", tissue, "tissue"),
        axial_panel("truth", truth, "tissue"),
    ]
