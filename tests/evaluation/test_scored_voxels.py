"""What is refused before anything is measured, by every function that measures."""

import numpy as np
import pytest

from anatomaly.errors import EvaluationError, GeometryError
from anatomaly.evaluation.metrics import average_precision, dice, dice_at_threshold, oracle_dice
from anatomaly.evaluation.metrics_pooled import ScoreHistogram, count_overlap
from anatomaly.evaluation.scored_voxels import scored_voxels

SHAPE = (4, 3, 5)
SCORE = np.linspace(0, 1, 60).reshape(SHAPE)
BRAIN = np.zeros(SHAPE, bool)
BRAIN[1:3] = True
LESION = np.zeros(SHAPE, bool)
LESION[2, :, 2:] = True

SCORED = [
    scored_voxels,
    average_precision,
    oracle_dice,
    lambda score, lesion, brain: dice_at_threshold(score, lesion, brain, 0.5),
    lambda score, lesion, brain: ScoreHistogram().add(score, lesion, brain),
]
scored = pytest.mark.parametrize("measure", SCORED)
masked = pytest.mark.parametrize("measure", [dice, count_overlap])


def with_value(value, where):
    changed = SCORE.copy()
    changed[where] = value
    return changed


@scored
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused_inside_the_brain_only(measure, value):
    with pytest.raises(EvaluationError, match="1 of 30 are NaN or infinite"):
        measure(with_value(value, (1, 0, 0)), LESION, BRAIN)
    measure(with_value(value, (0, 0, 0)), LESION, BRAIN)


@scored
def test_a_score_on_another_grid_is_refused(measure):
    with pytest.raises(GeometryError, match=r"shapes differ: score \(3, 3, 5\)"):
        measure(SCORE[1:], LESION, BRAIN)
    # would broadcast
    with pytest.raises(GeometryError, match="shapes differ"):
        measure(SCORE[:, :, :1], LESION, BRAIN)
    with pytest.raises(GeometryError, match="shapes differ"):
        measure(SCORE, LESION[:1], BRAIN)


@scored
def test_labels_in_the_place_of_masks_are_refused(measure):
    with pytest.raises(EvaluationError, match="must be bool, found uint8"):
        measure(SCORE, LESION.astype(np.uint8) * 4, BRAIN)
    with pytest.raises(EvaluationError, match="must be bool, found float64"):
        measure(SCORE, LESION, BRAIN.astype(float))


@masked
def test_two_masks_must_fit(measure):
    with pytest.raises(GeometryError, match="shapes differ"):
        measure(LESION[:1], BRAIN)
    with pytest.raises(EvaluationError, match="must be bool, found int64"):
        measure(LESION, BRAIN.astype(np.int64))


def test_what_comes_out():
    values, truth = scored_voxels(SCORE, LESION, BRAIN)
    places = [tuple(place) for place in np.argwhere(BRAIN)]
    assert values.tolist() == [SCORE[place] for place in places]
    assert truth.tolist() == [place[0] == 2 and place[2] >= 2 for place in places]
