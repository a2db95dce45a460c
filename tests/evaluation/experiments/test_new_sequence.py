"""Experiment 6: error and Dice of a contrast, on networks that know the anatomy or copy."""

import numpy as np
import pytest

from anatomaly.evaluation.experiments.new_sequence import NEW, draw, mean_error, run


def test_error_inside_the_brain_by_hand():
    image, rebuilt = np.array([0.5, 0.5, 0.9]), np.array([0.4, 0.8, 0.0])
    assert mean_error(image, rebuilt, np.array([True, True, False])) == pytest.approx(0.2)


def test_networks_that_know_the_anatomy_take_any_contrast(fake_model, tmp_path):
    result = run(fake_model(), seed=0, count=1)
    assert [row.contrast for row in result.rows] == ["T1w", "T2w", "FLAIR", *NEW]
    for row in result.rows:
        assert (row.map_csf, row.map_grey, row.map_white, row.edges_mean) == (1, 1, 1, 1)
        assert row.error_learned < 0.06  # noise and texture of .02, scaled to the image's range
        assert row.error_fitted < 0.15  # a ball of 16 voxels is hardly enough to fit on
    draw(result, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_networks_that_copy_intensities_do_not(fake_model):
    rows = {row.contrast: row for row in run(fake_model(copying=True), seed=0, count=1).rows}
    assert rows["PD-like"].map_csf < 0.2
    assert rows["T1w"].map_csf > 0.9
    assert rows["PD-like"].error_learned > rows["T1w"].error_learned


def test_new_contrasts_are_new():
    pd = NEW["PD-like"]
    assert abs(pd.csf - pd.grey) < 0.12  # training draws tissues at least so far apart
