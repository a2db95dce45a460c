"""What varies between healthy brains: where, how much, and with which sign in each sequence."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from anatomaly.training.synthesis import normal_variants
from anatomaly.training.synthesis.contrast import CORTEX, CSF, WHITE
from anatomaly.training.synthesis.normal_variants import (
    SoftTissue,
    add_normal_variants,
    widen_ventricles,
)

SHAPE = (30, 24, 26)
VENTRICLE, RIM = 1, 14
SEQUENCES = pytest.mark.parametrize("sequence", ["T1w", "T2w", "FLAIR", "random"])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def slabs(*edges_and_classes):
    """Slabs along the first axis, each up to its edge; background after the last."""
    classes, first = torch.zeros(SHAPE, dtype=torch.uint8), 0
    for edge, index in edges_and_classes:
        classes[first:edge] = index
        first = edge
    return classes


BRAIN = slabs((4, 0), (8, CSF), (12, CORTEX), (18, WHITE), (22, VENTRICLE))


def changes(classes, sequence, count=60, value=0.5):
    """What `count` draws add to an even image."""
    image = torch.full(SHAPE, value)
    soft = SoftTissue(classes)
    return [add_normal_variants(rng(n), image, soft, sequence) - image for n in range(count)]


@SEQUENCES
def test_only_tissue_and_csf_vary(sequence):
    for change in changes(BRAIN, sequence, 20):
        assert not change[:2].any() and not change[24:].any()  # a blur of two voxels
        assert change.any()
    for change in changes(slabs((30, RIM)), sequence, 20):
        assert not change.any()


def test_the_image_stays_and_a_seed_repeats():
    image = torch.rand(SHAPE, generator=rng(5))
    before = image.clone()
    first, second = (
        add_normal_variants(rng(3), image, SoftTissue(BRAIN), "FLAIR") for _ in range(2)
    )
    assert torch.equal(image, before) and torch.equal(first, second)


@pytest.mark.parametrize(
    ("index", "most"), [(CORTEX, 0.05), (WHITE, 0.025), (7, 0.05), (12, 0.025)]
)
def test_grey_matter_varies_twice_as_much_as_white(monkeypatch, index, most):
    """By a smooth field, either way; its share is uniform up to `most`."""
    means = [float(change.mean()) for change in changes(slabs((30, index)), "T1w", 100)]
    assert 20 < sum(mean > 0 for mean in means) < 80
    monkeypatch.setattr(
        normal_variants, "smooth_field", lambda rng, shape, spacing: torch.ones(shape)
    )
    found = np.array([float(c.max()) for c in changes(slabs((30, index)), "T1w", 300)])
    assert found.min() >= 0 and 0.95 * most < found.max() <= most + 1e-6
    assert found.mean() == pytest.approx(most / 2, rel=0.14)  # four errors


@pytest.mark.parametrize(
    ("sequence", "sign"), [("T1w", 1), ("FLAIR", 1), ("random", 1), ("T2w", -1)]
)
def test_csf_is_brighter_by_inflow_and_darker_by_flow_voids(sequence, sign):
    """Only CSF and nothing else: changed in 40 % of the draws, and one way only."""
    for index in (VENTRICLE, CSF):
        found = [sign * change for change in changes(slabs((30, index)), sequence, 100)]
        assert min(float(change.min()) for change in found) >= 0
        share = np.mean([bool(change.any()) for change in found])
        assert 0.2 < share < 0.6  # .4, four standard deviations; a field may be below 0 all over
        largest = [float(change.max()) for change in found]
        assert 0.05 < max(largest) < 0.15 * 4.5  # the field has a standard normal at its knots


def test_flow_is_a_tenth_of_a_unit_by_a_field_of_one(monkeypatch):
    monkeypatch.setattr(
        normal_variants, "smooth_field", lambda rng, shape, spacing: torch.ones(shape)
    )
    found = np.array([float(c.max()) for c in changes(slabs((30, CSF)), "T1w", 400)])
    flows = found[found > 0]
    assert len(flows) / 400 == pytest.approx(0.4, abs=0.1)
    assert flows.max() <= 0.15 + 1e-6
    assert flows.mean() == pytest.approx(0.075, abs=0.014)  # uniform from 0, four errors


@pytest.fixture(name="even")
def fixture_even(monkeypatch):
    """Without any smooth field: what is left is the rim around the ventricles."""
    monkeypatch.setattr(
        normal_variants, "smooth_field", lambda rng, shape, spacing: torch.zeros(shape)
    )


@pytest.mark.usefixtures("even")
def test_a_rim_around_the_ventricles_in_seven_of_ten_flair():
    found = changes(BRAIN, "FLAIR", 200)
    rims = [change for change in found if change.abs().max() > 1e-4]
    assert len(rims) / 200 == pytest.approx(0.7, abs=0.13)
    white = ndimage.gaussian_filter((BRAIN == WHITE).numpy().astype(float), 0.8, radius=2)
    heights, widths = [], []
    for change in rims:
        assert change.min() > -1e-6  # brighter
        assert change[18 + 2 :].abs().max() < 1e-4  # the ventricle's inside
        assert change[: 18 - 6].abs().max() < 1e-6  # further than σ 2 cut at 3 σ
        touched = np.abs(change[:18, 12, 13].numpy()) > 0.02
        widths.append(int(touched.sum()))
        # beside the ventricle the rim has its height; from there it fades
        share = change[10:18, 12, 13].numpy() / white[10:18, 12, 13]
        heights.append(float(share[-1]))
        assert (np.diff(share) > -1e-6).all()
    assert max(widths) <= 5 and 1 <= np.median(widths) <= 3
    heights = np.array(heights)
    assert heights.min() > 0 and heights.max() <= 0.2 + 1e-4
    assert heights.mean() == pytest.approx(0.1, abs=0.025)  # uniform from 0, four errors


@pytest.mark.usefixtures("even")
@pytest.mark.parametrize("sequence", ["T1w", "T2w", "random"])
def test_no_rim_in_other_sequences(sequence):
    for change in changes(BRAIN, sequence, 20):
        assert not change.any()


def test_nothing_falls_far_below_zero():
    found = torch.stack(changes(slabs((30, CSF)), "T2w", 100, value=-0.05)) - 0.05
    assert found.min().item() == pytest.approx(-0.1, abs=1e-6)


def test_one_in_six_brains_has_wide_ventricles():
    """Around a voxel of the ventricle, 10 to 28 voxels wide, without a fold."""
    pushes = [widen_ventricles(rng(n), BRAIN) for n in range(400)]
    found = [push for push in pushes if push is not None]
    assert abs(len(found) - 400 / 6) < 4 * (400 * 5 / 36) ** 0.5
    assert all(18 <= float(push.centre[0]) < 22 for push in found)
    reaches = np.array([push.reach for push in found])
    shares = np.array([push.shift / push.reach for push in found])
    assert reaches.min() >= 10 and reaches.max() <= 28
    assert shares.min() >= 0.05 and shares.max() <= 0.3
    without = slabs((4, 0), (8, CSF), (12, CORTEX), (30, WHITE))
    assert all(widen_ventricles(rng(n), without) is None for n in range(30))
