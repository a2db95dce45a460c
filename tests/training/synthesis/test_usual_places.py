"""Usual places: where they say, alike on both sides, in their tissue and their sequences."""

import pytest
import torch

from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.training.synthesis.label_maps import CLASS_NAMES
from anatomaly.training.synthesis.usual_places import PLACES, add_usual_places

START = (0, 60, 40)
SHAPE = (160, 60, 80)
LARGEST = 1.3 * (1 + 0.35 * 4.5)
"""Times a place's own change: strength and unevenness at their largest."""


def rng(seed):
    return torch.Generator().manual_seed(seed)


def changes(sequence, tissue, count=12):
    classes = torch.full(SHAPE, CLASS_NAMES.index(tissue), dtype=torch.uint8)
    image = torch.full(SHAPE, 0.5)
    return [add_usual_places(rng(n), image, classes, START, sequence) - image for n in range(count)]


@pytest.mark.parametrize("sequence", ["T1w", "random"])
def test_others_stay_as_they_are(sequence):
    assert all(not bool(change.any()) for change in changes(sequence, "cerebral white matter", 3))


def test_white_matter_is_brighter_along_the_corticospinal_tract():
    mean = torch.stack(changes("FLAIR", "cerebral white matter")).mean(0)
    x, y, z = (int(mm - TEMPLATE_AFFINE[a, 3]) for a, mm in enumerate((24, -22, 32)))
    inside = mean[x, y - START[1], z - START[2]]
    assert inside > 0.02
    assert mean.min() > -0.01
    far = mean[int(60 - TEMPLATE_AFFINE[0, 3]), y - START[1], z - START[2]]
    assert far < 0.1 * inside


def test_both_sides_are_alike():
    mean = torch.stack(changes("FLAIR", "cortex", 30)).mean(0)
    left, right = mean[1:80].flip(0), mean[81:]
    assert (left - right).abs().mean() < 0.3 * (left + right).mean() / 2


def test_csf_that_flows_is_bright_in_flair_and_dark_in_t2w():
    assert torch.stack(changes("FLAIR", "ventricular CSF")).mean() > 0
    assert torch.stack(changes("T2w", "ventricular CSF")).mean() < 0


def test_no_change_is_larger_than_the_table_says():
    most = sum(sorted((p.flair for p in PLACES.values() if 1 in p.classes), reverse=True)[:3])
    for change in changes("FLAIR", "ventricular CSF"):
        assert change.abs().max() < LARGEST * most


def test_a_patch_shows_what_the_whole_shows():
    """The places stand still on the template: a patch elsewhere is changed elsewhere."""
    whole = torch.full(TEMPLATE_SHAPE, 9, dtype=torch.uint8)
    change = add_usual_places(rng(3), torch.zeros(TEMPLATE_SHAPE), whole, (0, 0, 0), "FLAIR")
    box = tuple(slice(s, s + n) for s, n in zip(START, SHAPE, strict=True))
    part = add_usual_places(rng(3), torch.zeros(SHAPE), whole[box], START, "FLAIR")
    inner = torch.corrcoef(torch.stack([change[box].flatten(), part.flatten()]))[0, 1]
    assert inner > 0.6  # the unevenness differs, the places do not


@pytest.mark.parametrize("name", PLACES)
def test_every_place_lies_in_the_template(name):
    place = PLACES[name]
    for axis, mm in enumerate(place.centre_mm):
        index = mm - TEMPLATE_AFFINE[axis, 3]
        assert 10 < index < TEMPLATE_SHAPE[axis] - 10
    assert place.centre_mm[0] >= 0 and min(place.spread_mm) > 1
    assert all(0 < k < len(CLASS_NAMES) for k in place.classes)
