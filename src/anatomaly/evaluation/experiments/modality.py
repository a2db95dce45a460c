"""Experiment 3: is the modality code of a rebuilt image the code that was put in?

Modality reuse gives each rebuilt image the code of its own scan. Without it the image gets another
one: the mean code, or that of another sequence of the same person. The shift of the code between
scan and rebuilt image is quoted relative to the mean distance between sequences: 0 is no shift, 1
a shift as large as from one sequence to another.

Source: the claim is that of Yang et al. 2026, doi:10.1016/j.media.2025.103922 (their figure of
modality codes); t-SNE, van der Maaten and Hinton, JMLR 9:2579 (2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anatomaly.evaluation.experiments.drawn_brains import draw_brain, means_of, render
from anatomaly.evaluation.experiments.panels import COLOURS, new_figure, save
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.networks import as_tensor
from anatomaly.score import decode_image, extract_anatomy, extract_modality, restore_code
from anatomaly.types import SEQUENCES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Codes = NDArray[np.float64]
"""(N, 16), one modality code a scan, unbounded."""

OWN, MEAN, OTHER = "own code (reuse)", "mean code", "next sequence's code"
MARKERS = {"scan": "o", OWN: "^", MEAN: "d", OTHER: "x"}


@dataclass(frozen=True)
class Shift:
    """How far codes move in reconstruction.

    Attributes:
        put_in: which code the image was rebuilt with.
        from_own: mean distance of the code after reconstruction from the scan's own, in units of
            the mean distance between sequences; lower is better.
        from_put_in: the same from the code that was put in: does the image obey it?
        right_sequence: share whose nearest sequence mean is still the scan's own, in [0, 1].
    """

    put_in: str
    from_own: float
    from_put_in: float
    right_sequence: float


@dataclass(frozen=True)
class ModalityShift:
    """Figures of the experiment.

    Attributes:
        rows: with and without reuse.
        between_sequences: mean distance between codes of different sequences, code units.
        within_sequence: mean distance between codes of one sequence, in units of the former.
        sequences: of each scan, (N,).
        codes: `scan` and each way of rebuilding to codes (N, 16).
        seed: of the t-SNE.
    """

    rows: tuple[Shift, ...]
    between_sequences: float
    within_sequence: float
    sequences: tuple[str, ...]
    codes: dict[str, Codes]
    seed: int


def run(model: PseudoHealthyModel, seed: int, count: int) -> ModalityShift:
    """Rebuild `count` drawn brains in every sequence with three codes, and extract them again.

    Args:
        model: in evaluation mode.
        seed: of the first brain.
        count: brains.
    """
    scans, sequences = list[tuple[Tensor, Tensor, Tensor]](), list[str]()
    for number in range(seed, seed + count):
        brain, rng = draw_brain(number), np.random.default_rng([number, 23])
        mask = as_tensor(brain.brain_mask)
        for index, sequence in enumerate(SEQUENCES):
            image = render(brain, means_of(sequence, rng), 10 * number + index)
            x = as_tensor(image)
            anatomy = extract_anatomy(model, x)
            code = restore_code(model, anatomy, "edges").to(torch.bfloat16)
            scans.append((code, extract_modality(model, x, anatomy).float(), mask))
            sequences.append(sequence)
    before = torch.cat([modality for _, modality, _ in scans])
    put_in = {
        OWN: before,
        MEAN: before.mean(0, keepdim=True).expand_as(before),
        OTHER: before[next_sequence(len(before))],
    }
    after = {}
    for name, codes in put_in.items():
        pairs = zip(scans, codes, strict=True)
        rebuilt = [_code_after(model, code, new[None], mask) for (code, _, mask), new in pairs]
        after[name] = np.stack(rebuilt)
    before_after = {name: codes.double().numpy() for name, codes in put_in.items()}, after
    return summarise(tuple(sequences), *before_after, seed)


def draw(result: ModalityShift, path: Path) -> None:
    """Draw all codes in two dimensions (t-SNE), and the shifts."""
    figure = new_figure(8.6, 4.2, "Modality codes before and after reconstruction")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_map(left, result)
    names = [row.put_in for row in result.rows]
    bars = right.barh(names, [row.from_own for row in result.rows], color=COLOURS[0])
    right.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
    right.axvline(1.0, color=COLOURS[5], linewidth=1, linestyle="--")
    right.set_xlabel("shift of the code (1: from sequence to sequence)", fontsize=8)
    right.tick_params(labelsize=8)
    right.invert_yaxis()
    right.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def next_sequence(scans: int) -> list[int]:
    """Return for each scan the index of the same person's next sequence, the first after the last.

    >>> next_sequence(6)
    [1, 2, 0, 4, 5, 3]
    """
    n = len(SEQUENCES)
    return [n * (scan // n) + (scan % n + 1) % n for scan in range(scans)]


def summarise(
    sequences: tuple[str, ...], put_in: dict[str, Codes], after: dict[str, Codes], seed: int
) -> ModalityShift:
    """Turn codes into shifts.

    Args:
        sequences: of each scan, (N,).
        put_in: way of rebuilding to the codes (N, 16) given; that of `OWN` are the scans' own.
        after: the same ways to the codes (N, 16) extracted from the rebuilt images.
        seed: of the t-SNE.
    """
    before, names = put_in[OWN], np.array(sequences)
    apart = np.linalg.norm(before[:, None] - before[None], axis=2)
    same = names[:, None] == names[None]
    between = float(apart[~same].mean())
    others = same & ~np.eye(len(names), dtype=bool)
    within = float(apart[others].mean() / between) if others.any() else float("nan")
    rows = tuple(
        Shift(
            way,
            float(np.linalg.norm(codes - before, axis=1).mean() / between),
            float(np.linalg.norm(codes - put_in[way], axis=1).mean() / between),
            float((nearest_sequence(codes, before, names) == names).mean()),
        )
        for way, codes in after.items()
    )
    return ModalityShift(rows, between, within, sequences, {"scan": before, **after}, seed)


def nearest_sequence(codes: Codes, before: Codes, names: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the sequence whose mean code before reconstruction is nearest, (N,)."""
    known = np.unique(names)
    centres = np.stack([before[names == name].mean(0) for name in known])
    nearest = np.linalg.norm(codes[:, None] - centres[None], axis=2).argmin(1)
    return np.asarray(known[nearest])


def _code_after(model: PseudoHealthyModel, code: Tensor, modality: Tensor, mask: Tensor) -> Codes:
    """Combine anatomical and modality code to an image, and extract the latter from it, (16,)."""
    image = decode_image(model, code.float(), modality, mask)
    again: Codes = extract_modality(model, image, extract_anatomy(model, image))[0].double().numpy()
    return again


def _draw_map(axes: Axes, result: ModalityShift) -> None:
    """Scatter the t-SNE of all codes: colour is the sequence, shape the way of rebuilding."""
    from sklearn.manifold import TSNE

    stack = np.concatenate(list(result.codes.values()))
    perplexity = min(10.0, (len(stack) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=result.seed)
    places = tsne.fit_transform(stack).reshape(len(result.codes), -1, 2)
    for colour, sequence in zip(COLOURS, SEQUENCES, strict=False):
        chosen = np.array(result.sequences) == sequence
        for way, spots in zip(result.codes, places, strict=True):
            x, y = spots[chosen].T
            axes.scatter(x, y, 28, colour, marker=MARKERS[way], alpha=0.8)
        axes.scatter([], [], 28, colour, marker="s", label=sequence)
    for way in result.codes:
        axes.scatter([], [], 28, COLOURS[5], marker=MARKERS[way], label=way)
    axes.set_title("t-SNE (distances between clusters mean nothing)", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=7, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 0.0))
