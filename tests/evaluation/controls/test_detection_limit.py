"""Counting what was found of what was planted."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import binom

from anatomaly.evaluation.controls import detection_limit
from anatomaly.evaluation.controls.detection_limit import (
    Trial,
    count_trials,
    draw_limits,
    interval,
    plan_lesions,
    try_control,
)
from anatomaly.evaluation.controls.plant import CONTRASTS, PLACES, SIZES_ML, PlantedLesion
from anatomaly.method import PAPER
from anatomaly.volume import PreparedImage

SHAPE = (20, 20, 40)


def test_places_go_round_so_that_every_size_comes_to_each():
    for word in CONTRASTS:
        seen = {
            (plan.size_ml, plan.place)
            for control in range(len(PLACES))
            for plan in plan_lesions(control, word)
        }
        assert len(seen) == len(PLACES) * len(SIZES_ML)


def test_counts_of_sizes_contrasts_and_places():
    trials = [
        Trial("T1w", "a", 0.1, "faint", "deep grey", False),
        Trial("T1w", "b", 0.1, "faint", "juxtacortical", True),
        Trial("T1w", "a", 10.0, "strong", "deep grey", True),
    ]
    counted = count_trials(trials)
    assert counted["sizes_ml"] == sorted(SIZES_ML)
    assert counted["contrasts"]["faint"] == [[1, 2], [0, 0], [0, 0], [0, 0], [0, 0]]
    assert counted["contrasts"]["strong"][-1] == [1, 1]
    assert counted["places"]["deep grey"] == [1, 2]


@pytest.mark.parametrize(("found", "planted"), [(0, 10), (3, 10), (10, 10), (1, 2)])
def test_the_interval_covers_what_binomials_say(found, planted):
    low, high = interval(found, planted)
    if found:
        assert binom.sf(found - 1, planted, low) == pytest.approx(0.05, abs=1e-6)
    if found < planted:
        assert binom.cdf(found, planted, high) == pytest.approx(0.05, abs=1e-6)
    assert low <= found / planted <= high


def test_found_is_what_was_not_there_before(monkeypatch):
    """Three lesions: one covered well, one missed, one that the healthy map had already."""
    cores = [np.arange(start, start + 100) for start in (0, 4000, 8000)]
    healthy = np.zeros(SHAPE, np.float32)
    healthy.flat[cores[2]] = 0.9
    ill = healthy.copy()
    ill.flat[cores[0][:60]] = 0.9
    prepared = PreparedImage(healthy, np.ones(SHAPE, bool), "T1w")
    planted = PreparedImage(ill, np.ones(SHAPE, bool), "T1w")

    def score(networks, image, method):
        rebuilt = SimpleNamespace(tissue_map=None)
        return SimpleNamespace(rebuilt=rebuilt, anomaly_map=image.image)

    def plant(image, tissue, places, plans, rng):
        return planted, [PlantedLesion(p, c) for p, c in zip(plans, cores, strict=False)]

    monkeypatch.setattr(detection_limit, "score_prepared", score)
    monkeypatch.setattr(detection_limit, "plant_at_places", plant)
    monkeypatch.setattr(detection_limit, "find_places", lambda tissue, brain: {})
    trials = list(try_control(None, prepared, PAPER, 0.5, ("sub-1", 0)))
    assert [trial.found for trial in trials] == [True, False] * len(CONTRASTS)
    assert {trial.contrast for trial in trials} == set(CONTRASTS)
    assert {trial.size_ml for trial in trials} == set(SIZES_ML[:2])


def test_a_panel_a_sequence():
    trials = [Trial("FLAIR", "a", size, "clear", "deep grey", size > 1) for size in SIZES_ML]
    figure = draw_limits({"FLAIR": count_trials(trials), "T1w": count_trials(trials)}, "ours")
    assert isinstance(figure, Figure)
    assert [axis.get_title() for axis in figure.axes] == ["FLAIR", "T1w"]
    lines = figure.axes[0].containers
    assert len(lines) == len(CONTRASTS)
