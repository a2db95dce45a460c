"""Experiment 1 tells networks that see anatomy from those that copy intensities."""

import nibabel as nib
import numpy as np
import pytest
import torch

from anatomaly.errors import ScanError
from anatomaly.evaluation.experiments.disentanglement import (
    PAIR_FILES,
    compare_maps,
    count_not_one_hot,
    draw,
    read_pair,
    run,
)
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.preprocess.template import load_template


def test_voxels_that_are_not_one_hot_are_counted():
    tissue = torch.tensor(
        [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]]
    )
    assert count_not_one_hot(tissue.T.reshape(1, 4, 5, 1, 1).float()) == 3


def test_maps_are_compared_two_by_two_and_with_the_truth():
    a, b = np.array([1, 2, 3], np.uint8), np.array([1, 2, 2], np.uint8)
    found = compare_maps({"T1w": a, "T2w": b, "FLAIR": a}, truth=a)
    assert list(found) == [
        "T1w–T2w",
        "T1w–FLAIR",
        "T2w–FLAIR",
        "T1w–truth",
        "T2w–truth",
        "FLAIR–truth",
    ]
    assert found["T1w–FLAIR"].mean == found["FLAIR–truth"].mean == 1
    assert found["T1w–T2w"].grey == pytest.approx(2 / 3)
    assert found["T2w–truth"].white == 0
    assert list(compare_maps({"T1w": a, "T2w": b}, None)) == ["T1w–T2w"]


def test_networks_that_see_the_anatomy_agree(fake_model, tmp_path):
    result = run(fake_model(), seed=0, count=2)
    assert {row.mean for row in result.rows} == {1.0}
    assert {row.anatomies for row in result.rows} == {2}
    assert result.not_one_hot == 0
    draw(result, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_networks_that_copy_intensities_do_not(fake_model):
    rows = {row.compared: row for row in run(fake_model(copying=True), seed=0, count=1).rows}
    assert rows["T1w–T2w"].csf < 0.1  # dark in one, bright in the other
    assert rows["T1w–T2w"].mean < 0.6


def test_pair_of_the_data_folder(tmp_path, fake_model):
    with pytest.raises(ScanError, match="no MNI152_T1"):
        read_pair(tmp_path)
    data = np.zeros(TEMPLATE_SHAPE, np.float32)
    data[60:100, 0:40, 60:100] = np.random.default_rng(0).uniform(10, 500, (40, 40, 40))
    for factor, name in enumerate(PAIR_FILES.values(), start=1):
        nib.save(nib.Nifti1Image(data * factor, TEMPLATE_AFFINE), tmp_path / name)
    pair = read_pair(tmp_path)
    assert set(pair.images) == {"T1w", "T2w"}
    assert pair.truth is None
    expected = (data > 0) & load_template().brain_mask.data
    assert 0 < expected.sum() < 40**3  # the box reaches beyond the brain
    np.testing.assert_array_equal(pair.brain_mask, expected)
    np.testing.assert_allclose(pair.images["T1w"], pair.images["T2w"], atol=1e-5)  # scale is gone
