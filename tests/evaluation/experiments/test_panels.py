"""Panels: the right slice, empty places, a small file."""

import numpy as np
from matplotlib.image import imread

from anatomaly.evaluation.experiments.panels import axial_panel, draw_panels


def test_slice_lies_at_the_ventricles_or_in_a_small_volume():
    volume = np.zeros((4, 5, 160), np.float32)
    volume[:, :, 88] = np.arange(20).reshape(4, 5)
    np.testing.assert_array_equal(axial_panel("a", volume, "image").slice, volume[:, :, 88])
    assert axial_panel("a", np.zeros((4, 5, 20), np.float32), "image").slice.shape == (4, 5)


def test_patient_right_is_right_and_front_is_up_and_none_is_empty(tmp_path):
    slice_ = np.zeros((40, 40, 20), np.float32)
    slice_[30:, 30:] = 1  # right, front
    panel = axial_panel("a", slice_, "image")
    draw_panels(tmp_path / "p.png", "heading", [panel, None], 2)
    picture = imread(tmp_path / "p.png")[:, :, :3].mean(2)
    half = picture.shape[1] // 2
    black = np.argwhere(picture[:, :half] < 0.02)  # the slice; ink is a dark grey
    top, left = black.min(0)
    bottom, right = black.max(0)
    drawn = picture[top : bottom + 1, left : right + 1]
    quarter = np.array(drawn.shape) // 4
    assert drawn[2 : quarter[0] - 2, -quarter[1] + 2 : -2].min() > 0.9
    assert drawn[2 : quarter[0] - 2, : quarter[1]].max() < 0.1
    assert drawn[-quarter[0] :, -quarter[1] :].max() < 0.1
    assert picture[top:, half + 10 :].min() > 0.9
