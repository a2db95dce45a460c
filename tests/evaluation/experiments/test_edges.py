"""Experiment 2 sees a leak where there is one."""

import numpy as np
import pytest
import torch

from anatomaly.evaluation.experiments.edges import draw, measure_leak, replace_intensities, run


def test_all_intensities_inside_are_replaced_and_none_outside(brain):
    image = torch.from_numpy(brain.brain_mask)[None, None] * 0.5
    other = replace_intensities(image, brain.brain_mask, seed=1)
    inside = other[0, 0].numpy()[brain.brain_mask]
    assert (inside != 0.5).all()
    assert inside.min() < 0.1
    assert inside.max() > 0.9
    assert (other[0, 0].numpy()[~brain.brain_mask] == 0).all()


def test_no_leak_from_edges_but_from_the_map(fake_model, tmp_path):
    result = run(fake_model(copying=True), seed=0, count=1)
    assert [row.sequence for row in result.rows] == ["T1w", "T2w", "FLAIR"]
    assert {row.leak for row in result.rows} == {0.0}
    assert min(row.leak_without_edges for row in result.rows) == 1.0
    draw(result, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_a_restorer_that_sees_intensities_leaks(fake_model):
    rows = run(fake_model(copying=True, leaky=True), seed=0, count=1).rows
    assert min(row.leak for row in rows) > 0
    # .01 of the anatomical image, which differs by .72 − .29 at most
    assert max(row.leak for row in rows) <= 0.0043 + 1e-6


def test_the_leak_is_the_largest_change(fake_model, brain):
    model = fake_model(copying=True)
    mask = torch.from_numpy(brain.brain_mask)[None, None].float()
    seen, other = model.extract(mask * 0.1), model.extract(mask * 0.9)
    own, leak = measure_leak(model, seen, other, "tissue_map")
    assert leak == 1.0
    assert torch.equal(own, seen.tissue_map)
    assert measure_leak(model, seen, seen, "tissue_map")[1] == 0.0


def test_perfect_restoration_is_1_and_follows_the_truth_not_the_map(fake_model):
    perfect = run(fake_model(), seed=0, count=1).rows[0]
    assert (perfect.map_truth, perfect.restored_map, perfect.encoded_map) == (1, 1, 1)
    assert (perfect.restored_csf, perfect.restored_grey, perfect.restored_white) == (1, 1, 1)
    copying = run(fake_model(copying=True), seed=0, count=1).rows[1]
    assert copying.map_truth < 0.8
    assert copying.restored_map == pytest.approx(copying.map_truth)
    assert np.isfinite(copying.encoded_map)
