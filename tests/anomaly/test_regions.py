"""Regions: the atlas that ships, shares counted by hand, and what touches what."""

from dataclasses import replace

import numpy as np
import pytest

from anatomaly.anomaly import regions
from anatomaly.anomaly.regions import Region, RegionAtlas, load_regions, place_lesions
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.volume import Volume

SHAPE = (30, 20, 20)
TOY = (
    Region(1, "left lobe", "lobe"),
    Region(2, "left ventricle", "lateral ventricle"),
    Region(3, "brainstem", "infratentorial"),
)


@pytest.fixture(name="toy")
def fixture_toy(monkeypatch) -> RegionAtlas:
    """From x = 0 on a lobe (80 %), a ventricle, from 20 mm on the brainstem; 1 mm voxels."""
    labels = np.zeros((*SHAPE, 3), np.uint8)
    shares = np.zeros((*SHAPE, 3), np.uint8)
    for region, part in zip(TOY, (slice(0, 10), slice(10, 20), slice(20, 30)), strict=True):
        labels[part, ..., 0], shares[part, ..., 0] = region.index, 80
    labels[0:10, ..., 1], shares[0:10, ..., 1] = 2, 20
    atlas = RegionAtlas(np.eye(4), labels, shares, TOY)
    monkeypatch.setattr(regions, "load_regions", lambda: atlas)
    return atlas


def mask_at(*boxes) -> np.ndarray:
    numbered = np.zeros(SHAPE, np.int32)
    for number, (low, high) in enumerate(boxes, 1):
        numbered[low:high, 5:9, 5:9] = number
    return numbered


def test_shares_are_means_over_the_voxels(toy):
    (place,) = place_lesions(mask_at((8, 12)), np.eye(4), np.eye(4))
    assert place.shares == (
        ("left ventricle", pytest.approx(0.5)),  # (2 × .2 + 2 × .8) / 4
        ("left lobe", pytest.approx(0.4)),
    )
    assert place.region == "left ventricle"
    assert (place.periventricular, place.juxtacortical, place.infratentorial) == (None, None, False)


def test_half_below_the_tentorium_is_infratentorial(toy):
    most, least = place_lesions(mask_at((18, 26), (10, 19)), np.eye(4), np.eye(4))
    assert most.infratentorial and not least.infratentorial
    shifted = np.eye(4)
    shifted[0, 3] = 15.0  # the scan lies 15 mm to the left of the template
    (moved,) = place_lesions(mask_at((6, 10)), np.eye(4), shifted)
    assert moved.region == "brainstem"


def test_outside_the_template_nothing_is_named(toy):
    far = np.diag([1.0, 1, 1, 1])
    far[0, 3] = 500
    (place,) = place_lesions(mask_at((8, 12)), np.eye(4), far)
    assert place.shares == () and place.region == ""


@pytest.mark.parametrize(
    ("lesion", "tissue_at", "expected"),
    [
        ((12, 14), (15, 1), (True, False)),  # CSF in the second voxel beside it
        ((12, 14), (17, 1), (False, False)),  # in the fourth
        ((12, 14), (15, 3), (False, False)),  # white matter there
        ((2, 4), (5, 2), (False, True)),  # grey matter of a lobe
        ((22, 24), (25, 1), (False, False)),  # CSF, but of no lateral ventricle
    ],
)
def test_what_a_lesion_touches(toy, lesion, tissue_at, expected):
    where, tissue = tissue_at
    tissue_map = np.full(SHAPE, 3, np.uint8)
    tissue_map[where] = tissue
    volume = Volume(tissue_map, np.eye(4))
    (place,) = place_lesions(mask_at(lesion), np.eye(4), np.eye(4), volume)
    assert (place.periventricular, place.juxtacortical) == expected


def test_what_the_tissue_map_shows_inside_a_lesion_does_not_count(toy):
    numbered = mask_at((12, 16))
    tissue_map = np.where(numbered > 0, 1, 3).astype(np.uint8)
    volume = Volume(tissue_map, np.eye(4))
    (place,) = place_lesions(numbered, np.eye(4), np.eye(4), volume)
    assert place.periventricular is False


def test_scattered_grey_matter_is_no_cortex(toy):
    tissue_map = np.full(SHAPE, 3, np.uint8)
    tissue_map[5, 6, 6] = 2
    volume = Volume(tissue_map, np.eye(4))
    (place,) = place_lesions(mask_at((2, 5)), np.eye(4), np.eye(4), volume)
    assert place.juxtacortical is False


def test_thick_slices_touch_the_next_one_but_not_beyond(toy):
    thick = np.diag([5.0, 1, 1, 1])
    numbered = np.zeros((6, 20, 20), np.int32)
    numbered[2, 5:9, 5:9] = 1
    for where, touches in ((3, True), (4, False)):
        tissue_map = np.full(numbered.shape, 3, np.uint8)
        tissue_map[where] = 1
        volume = Volume(tissue_map, thick)
        (place,) = place_lesions(numbered, thick, np.eye(4), volume)
        assert place.periventricular is touches


def test_no_lesion_has_no_place(toy):
    assert place_lesions(np.zeros(SHAPE, np.int32), np.eye(4), np.eye(4)) == ()


POINTS = {
    (-35, 35, 20): "left frontal lobe",
    (35, 35, 20): "right frontal lobe",
    (-45, -45, 45): "left parietal lobe",
    (50, -20, -20): "right temporal lobe",
    (-12, -90, 5): "left occipital lobe",
    (38, 5, 0): "right insula",
    (5, 20, 30): "right cingulate gyrus",
    (-27, -22, -14): "left hippocampus",
    (12, -18, 8): "right thalamus",
    (-26, 4, 2): "left putamen",
    (12, 14, 8): "right caudate nucleus",
    (0, -28, -32): "brainstem",
    (-25, -62, -35): "left cerebellar hemisphere",
    (1, -68, -22): "cerebellar vermis",
    (7, 8, 14): "right lateral ventricle",
    (0, 22, 8): "corpus callosum and fornix",
}


@pytest.mark.parametrize(("point", "name"), POINTS.items())
def test_places_that_every_textbook_names(point, name):
    atlas = load_regions()
    share = atlas.shares_at(np.array([point], float))[0]
    assert ("", *(region.name for region in atlas.regions))[share.argmax()] == name


def test_the_atlas_that_ships_is_sound():
    atlas = load_regions()
    assert atlas.labels.shape == (80, 96, 80, 3) == atlas.shares.shape
    assert [region.index for region in atlas.regions] == list(range(1, len(atlas.regions) + 1))
    assert atlas.labels.max() == len(atlas.regions)
    total = atlas.shares.sum(axis=-1, dtype=int)
    assert total.max() <= 102  # per cent, each rounded
    assert (np.diff(atlas.shares.astype(int), axis=-1) <= 0).all()  # likeliest first
    assert not atlas.shares[atlas.labels == 0].any()
    for region in atlas.regions:  # what is left lies on the left
        voxels = np.argwhere(atlas.labels[..., 0] == region.index)
        x = (voxels @ atlas.affine[0, :3] + atlas.affine[0, 3]).mean()
        side = -1 if region.name.startswith("left") else 1
        assert abs(x) < 3 if not region.name.startswith(("left", "right")) else x * side > 2
    corner = np.array([TEMPLATE_AFFINE[:3, 3] - 50])
    assert replace(atlas).shares_at(corner)[0, 0] == 1
