"""What can be found on a scanner: lesions planted into its healthy controls, counted by size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import beta

from anatomaly.anomaly.score import anomaly_mask
from anatomaly.evaluation.controls.plant import (
    CONTRASTS,
    PLACES,
    SIZES_ML,
    Planned,
    find_places,
    plant_at_places,
)
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.method import Method
from anatomaly.networks import Networks
from anatomaly.report.drawing import new_figure
from anatomaly.score import score_prepared
from anatomaly.types import BoolArray, FloatArray, MrSequence
from anatomaly.volume import PreparedImage, Volume

LEAST_OVERLAP = 0.1
"""Share of a lesion that must lie in the mask for it to count as found, and that must not have been
there before it was planted."""

COLUMNS = ("sequence", "control", "size_ml", "contrast", "place", "found")


class Trial(NamedTuple):
    """A planted lesion: whose, how large, how strong (a word), where, and whether it was found."""

    sequence: MrSequence
    control: str
    size_ml: float
    contrast: str
    place: str
    found: bool


def plan_lesions(control_number: int, contrast: str) -> list[Planned]:
    """Return one lesion of each size; places go round from control to control.

    >>> [lesion.place for lesion in plan_lesions(0, "faint")][:2]
    ['periventricular', 'deep white matter']
    """
    shift = control_number + list(CONTRASTS).index(contrast)
    return [
        Planned(size, CONTRASTS[contrast], PLACES[(number + shift) % len(PLACES)])
        for number, size in enumerate(SIZES_ML)
    ]


def try_control(
    networks: Networks,
    prepared: PreparedImage,
    method: Method,
    threshold: float,
    who: tuple[str, int],
    seed: int = 0,
) -> Iterable[Trial]:
    """Plant lesions of every size and contrast into one control, and look for them.

    Args:
        networks: loaded for the method.
        prepared: the control.
        method: of the weights.
        threshold: of the controls.
        who: name and number of the control.
        seed: of places and shapes.
    """
    name, number = who
    healthy = score_prepared(networks, prepared, method)
    before = _cut(healthy.anomaly_map, prepared.brain_mask, threshold, method)
    tissue_map = healthy.rebuilt.tissue_map
    places = find_places(tissue_map, prepared.brain_mask)
    for contrast in CONTRASTS:
        rng = np.random.default_rng((seed, number, list(CONTRASTS).index(contrast)))
        plans = plan_lesions(number, contrast)
        image, lesions = plant_at_places(prepared, tissue_map, places, plans, rng)
        score = score_prepared(networks, image, method).anomaly_map
        after = _cut(score, prepared.brain_mask, threshold, method)
        for lesion in lesions:
            if before.flat[lesion.core].mean() < LEAST_OVERLAP:
                found = bool(after.flat[lesion.core].mean() >= LEAST_OVERLAP)
                plan = lesion.plan
                yield Trial(prepared.sequence, name, plan.size_ml, contrast, plan.place, found)


def _cut(score: FloatArray, brain: BoolArray, threshold: float, method: Method) -> BoolArray:
    """Return the mask that `detect` makes on the working grid."""
    volume = Volume(score, TEMPLATE_AFFINE)
    mask = anomaly_mask(volume, volume.with_data(brain), threshold, method)
    return np.asarray(mask.data > 0)


def count_trials(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return what the card of the weights keeps of the trials of one sequence.

    Returns:
        `sizes_ml` (ascending), and under each contrast the lesions found and planted of each size;
        under `places` the same for each place, all sizes and contrasts together.
    """
    sizes = sorted(SIZES_ML)
    return {
        "sizes_ml": sizes,
        "contrasts": {
            word: [
                _tally(t for t in trials if (t.contrast, t.size_ml) == (word, size))
                for size in sizes
            ]
            for word in CONTRASTS
        },
        "places": {place: _tally(t for t in trials if t.place == place) for place in PLACES},
    }


def _tally(trials: Iterable[Trial]) -> list[int]:
    """Return how many were found, and how many there were."""
    found = [trial.found for trial in trials]
    return [sum(found), len(found)]


def interval(found: int, planted: int) -> tuple[float, float]:
    """Return the 90 % interval of a share (Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404).

    >>> [round(bound, 2) for bound in interval(8, 10)]
    [0.49, 0.96]
    """
    low = 0.0 if found == 0 else float(beta.ppf(0.05, found, planted - found + 1))
    high = 1.0 if found == planted else float(beta.ppf(0.95, found + 1, planted - found))
    return low, high


def draw_limits(limits: dict[MrSequence, dict[str, Any]], title: str) -> Any:
    """Draw the share found against the size, a panel a sequence, a line a contrast.

    Args:
        limits: of `count_trials`.
        title: of the figure.

    Returns:
        A matplotlib figure.
    """
    figure = new_figure(figsize=(4.2 * len(limits) + 0.6, 3.6), layout="constrained")
    axes = figure.subplots(1, len(limits), sharey=True, squeeze=False)[0]
    colours = dict(zip(CONTRASTS, ("#9db8d9", "#4a7fb5", "#12355b"), strict=True))
    for axis, (sequence, limit) in zip(axes, limits.items(), strict=True):
        for offset, (word, counts) in enumerate(limit["contrasts"].items()):
            known = [(s, *c) for s, c in zip(limit["sizes_ml"], counts, strict=True) if c[1]]
            sizes = np.array([size for size, _, _ in known]) * 1.06 ** (offset - 1)
            share = np.array([found / planted for _, found, planted in known])
            bounds = np.array([interval(found, planted) for _, found, planted in known]).T
            label = f"{word} ({CONTRASTS[word]:.0%})"
            errors = np.abs(bounds - share)
            axis.errorbar(sizes, share, errors, fmt="o-", color=colours[word], label=label, lw=1.5)
        axis.axhline(0.8, color="0.8", lw=1, zorder=0)
        axis.set_xscale("log")
        axis.set_xticks(limit["sizes_ml"], [f"{size:g}" for size in limit["sizes_ml"]])
        axis.minorticks_off()
        axis.set(title=sequence, xlabel="planted lesion, mL", ylim=(-0.03, 1.03))
    axes[0].set_ylabel("share found, 90 % interval")
    axes[-1].legend(title="contrast to white matter", fontsize=8, title_fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure
