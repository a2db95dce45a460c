"""Lesions matched by the rule, against sets of neighbours and against another library."""

import math

import numpy as np
import pytest

from anatomaly.errors import ConfigError, EvaluationError, GeometryError
from anatomaly.evaluation.metrics_lesionwise import (
    LesionMatch,
    figures_by_size,
    lesion_figures,
    match_lesions,
)

SHAPE = (14, 11, 9)


def draw(seed, share=0.03):
    """Two masks of touching and single voxels, the second partly made of the first."""
    rng = np.random.default_rng(seed)
    truth = rng.random(SHAPE) < share
    truth[2:6, 3:5, 1:6] = True
    found = (truth & (rng.random(SHAPE) < 0.4)) | (rng.random(SHAPE) < share)
    return found, truth


def components(mask):
    """Sets of voxels joined by faces, edges or corners, by walking from voxel to voxel."""
    left = {tuple(p) for p in np.argwhere(mask).tolist()}
    out = []
    while left:
        new, whole = {left.pop()}, set()
        while new:
            whole |= new
            near = {
                (i + a, j + b, k + c)
                for i, j, k in new
                for a in (-1, 0, 1)
                for b in (-1, 0, 1)
                for c in (-1, 0, 1)
            }
            new = near & left
            left -= new
        out.append(whole)
    return out


def by_hand(mask, cover, share):
    """Sorted pairs of size and whether enough is covered."""
    covering = {tuple(p) for p in np.argwhere(cover).tolist()}
    return sorted(
        (len(piece), len(piece & covering) >= max(1, share * len(piece)))
        for piece in components(mask)
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_matching_by_hand(seed, share):
    found, truth = draw(seed)
    match = match_lesions(found, truth, 0.5, min_overlap=share)
    true = sorted(zip(match.true_mm3, match.detected, strict=True))
    claimed = sorted(zip(match.found_mm3, match.correct, strict=True))
    assert true == [(0.5 * n, yes) for n, yes in by_hand(truth, found, share)]
    assert claimed == [(0.5 * n, yes) for n, yes in by_hand(found, truth, share)]
    if share < 1:
        assert 0 < sum(match.detected) < len(match.detected) > 5
        assert 0 < sum(match.correct) < len(match.correct) > 5


def test_the_rule_is_the_same_both_ways():
    found, truth = draw(0)
    there, back = match_lesions(found, truth, 1.0), match_lesions(truth, found, 1.0)
    assert there.true_mm3 == back.found_mm3 and there.detected == back.correct


def test_a_mask_of_everything_is_not_a_correct_lesion():
    truth = np.zeros(SHAPE, bool)
    truth[1:3, 1:3, 1:3] = truth[8:10, 8:10, 6:8] = True
    everything = np.ones(SHAPE, bool)
    figures = lesion_figures([match_lesions(everything, truth, 1.0)])
    assert (figures.sensitivity, figures.precision, figures.f1) == (1.0, 0.0, 0.0)
    one_voxel = lesion_figures([match_lesions(everything, truth, 1.0, min_overlap=0)])
    assert one_voxel.f1 == 1.0  # what the rule of one voxel gives away


def test_the_tenth_itself_is_enough():
    truth = np.zeros((20, 1, 1), bool)
    truth[:10] = True
    for voxels, yes in ((1, True), (0, False)):
        found = np.zeros_like(truth)
        found[:voxels] = True
        assert match_lesions(found, truth, 1.0).detected == (yes,)
    truth[:11] = True
    found[:1] = True
    assert match_lesions(found, truth, 1.0).detected == (False,)


def test_corners_join():
    truth = np.zeros((4, 4, 4), bool)
    truth[0, 0, 0] = truth[1, 1, 1] = truth[3, 3, 3] = True
    assert sorted(match_lesions(truth, truth, 1.0).true_mm3) == [1.0, 2.0]


def test_empty_masks():
    nothing, (_, truth) = np.zeros(SHAPE, bool), draw(0)
    missed = lesion_figures([match_lesions(nothing, truth, 1.0)])
    assert missed.lesions == len(components(truth)) > 0
    assert (missed.sensitivity, missed.f1, missed.false_positives) == (0.0, 0.0, 0)
    assert math.isnan(missed.precision)
    healthy = lesion_figures([match_lesions(truth, nothing, 1.0)])
    assert math.isnan(healthy.sensitivity) and math.isnan(healthy.f1)
    assert (healthy.lesions, healthy.precision) == (0, 0.0)
    assert healthy.false_positives == len(components(truth))
    silent = match_lesions(nothing, nothing, 1.0)
    assert silent == LesionMatch((), (), (), ())
    assert all(math.isnan(v) for v in lesion_figures([silent])[1:4])
    assert all(math.isnan(v) for v in lesion_figures([])[1:4])


def test_figures_over_scans_count_lesions_not_scans():
    many = LesionMatch((1.0,) * 9, (True,) * 9, (1.0,) * 9, (True,) * 9)
    one = LesionMatch((1.0,), (False,), (1.0, 1.0), (False, False))
    figures = lesion_figures([many, one])
    assert figures == (10, 0.9, pytest.approx(9 / 11), pytest.approx(2 * 0.9 * 9 / (9.9 + 9)), 2)


def test_size_bins_by_hand():
    match = LesionMatch(
        true_mm3=(5.0, 10.0, 99.0, 100.0, 2000.0, 20_000.0),
        detected=(False, True, False, True, True, True),
        found_mm3=(9.9, 50.0, 60.0, 1000.0),
        correct=(False, True, False, True),
    )
    bins = figures_by_size([match])
    assert [(b.low_mm3, b.high_mm3) for b in bins] == [
        (0.0, 10.0), (10.0, 100.0), (100.0, 1e3), (1e3, 1e4), (1e4, math.inf),
    ]  # fmt: skip
    assert [b.figures.lesions for b in bins] == [1, 2, 1, 1, 1]
    assert [b.figures.sensitivity for b in bins] == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert [b.figures.false_positives for b in bins] == [1, 1, 0, 0, 0]
    assert bins[1].figures.precision == 0.5 and bins[1].figures.f1 == 0.5
    assert math.isnan(bins[4].figures.precision)
    whole = lesion_figures([match])
    assert sum(b.figures.lesions for b in bins) == whole.lesions
    assert sum(b.figures.false_positives for b in bins) == whole.false_positives


def blobs(seed):
    """Cubes apart from each other; of each the found mask has most, all or nothing."""
    rng = np.random.default_rng(seed)
    truth, found = np.zeros((2, 30, 30, 30), bool)
    for i, j, k in np.ndindex(3, 3, 3):
        at = (slice(10 * i + 1, 10 * i + 6), slice(10 * j + 1, 10 * j + 6), 10 * k + 2)
        kind = rng.integers(4)
        truth[at] = kind != 3
        found[at] = kind != 0
        if kind == 1:
            found[10 * i + 1, 10 * j + 1 : 10 * j + 6, 10 * k + 2] = False  # 20 of 25 voxels
    return found, truth


@pytest.mark.parametrize("seed", range(3))
def test_counts_of_another_library(seed):
    """panoptica pairs lesions one to one; on blobs apart from each other that is the same."""
    panoptica = pytest.importorskip("panoptica", reason="panoptica is not installed")
    found, truth = blobs(seed)
    evaluator = panoptica.Panoptica_Evaluator(
        expected_input=panoptica.InputType.SEMANTIC,
        instance_approximator=panoptica.ConnectedComponentsInstanceApproximator(),
        instance_matcher=panoptica.NaiveThresholdMatching(matching_threshold=0.5),
    )
    result = evaluator.evaluate(found.astype(np.uint8), truth.astype(np.uint8), verbose=False)[
        "ungrouped"
    ]
    figures = lesion_figures([match_lesions(found, truth, 1.0)])
    assert figures.lesions == result.tp + result.fn
    assert figures.false_positives == result.fp > 0
    assert figures.sensitivity == pytest.approx(result.rec)
    assert figures.precision == pytest.approx(result.prec)
    assert figures.f1 == pytest.approx(result.rq)
    assert 0.2 < figures.f1 < 0.95


def test_what_is_refused():
    found, truth = draw(0)
    with pytest.raises(GeometryError, match="shapes differ"):
        match_lesions(found[1:], truth, 1.0)
    with pytest.raises(EvaluationError, match="must be bool"):
        match_lesions(found, truth.astype(int), 1.0)
    for overlap in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match="min_overlap"):
            match_lesions(found, truth, 1.0, min_overlap=overlap)
    for volume in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="voxel_volume_mm3"):
            match_lesions(found, truth, volume)
    for edges in ([0.0], [0.0, 0.0], [5.0, 1.0]):
        with pytest.raises(ConfigError, match="rise"):
            figures_by_size([], edges)
