"""One control: what is kept of its map, and the thresholds that it asks for."""

from types import SimpleNamespace

import numpy as np
import pytest

from anatomaly.evaluation.controls.control import (
    SparseMap,
    found_ml,
    lowest_threshold,
    measure_control,
)
from anatomaly.healthy_volume import THRESHOLDS
from anatomaly.method import PAPER
from anatomaly.thresholds import STEP
from anatomaly.volume import Volume

AFFINE = np.diag([2.0, 2.0, 2.5, 1.0])  # a voxel is 10 mm³
SHAPE = (30, 30, 20)


def detection_of(blocks: dict[float, int]) -> SimpleNamespace:
    """A map with one block of so many voxels at each score, a column each; and one outside."""
    score = np.full(SHAPE, 0.002, np.float32)
    for column, (value, voxels) in enumerate(blocks.items()):
        score[3 * column].flat[:voxels] = value
    score[-1] = 0.9
    brain = np.ones(SHAPE, np.uint8)
    brain[-1] = 0
    return SimpleNamespace(
        anomaly_map=Volume(score, AFFINE),
        brain_mask=Volume(brain, AFFINE),
        sequence="T1w",
        warnings=("a doubt",),
    )


def test_what_is_kept_is_the_map_inside_the_brain():
    made = detection_of({0.5: 40})
    dense = SparseMap.of(made.anomaly_map, made.brain_mask).dense()
    assert dense.shape == SHAPE and (dense.data > 0).sum() == 40
    assert dense.data.max() == pytest.approx(0.5)
    np.testing.assert_array_equal(dense.affine, AFFINE)


def test_thresholds_are_those_at_which_the_budget_holds():
    control = measure_control("sub-1", detection_of({0.3: 300, 0.6: 90, 0.8: 60}), PAPER)
    assert control.at_half == pytest.approx(0.6, abs=STEP)  # .6 mL are above .6, 1.5 mL below
    assert control.at_most == pytest.approx(0.0, abs=STEP)  # 4.5 mL in all
    assert control.found_ml(0.5) == pytest.approx(1.5)
    assert control.curve[THRESHOLDS.index(0.5)] == pytest.approx(1.5)
    assert control.curve[THRESHOLDS.index(0.7)] == pytest.approx(0.6)
    assert (control.sequence, control.warnings) == ("T1w", ("a doubt",))


def test_pieces_that_detect_drops_do_not_count():
    tiny = detection_of({0.9: 1})  # 10 mm³, below the 20 of the default
    dense = SparseMap.of(tiny.anomaly_map, tiny.brain_mask).dense()
    assert found_ml(dense, PAPER, 0.5) == 0
    assert found_ml(dense, PAPER, 0.5, min_lesion_mm3=5) == pytest.approx(0.01)


def test_nothing_needs_no_threshold():
    assert lowest_threshold(lambda threshold: 0.0, 1.0) <= STEP
    assert lowest_threshold(lambda threshold: 9.0, 1.0) == 1.0
