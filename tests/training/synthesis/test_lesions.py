"""Lesions: where they lie, and what they are made of."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from anatomaly.training.synthesis import lesions
from anatomaly.training.synthesis.contrast import CORTEX, CSF, WHITE
from anatomaly.training.synthesis.deform import patch_grid
from anatomaly.training.synthesis.lesions import KIND_SHARES, Lesion, confine, draw_lesion

START = (40, 60, 50)
VENTRICLE = 1


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def patch(ventricle=0.0):
    """White matter in cortex in sulcal CSF in background, around a ventricle of that radius."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(40.0)] * 3, indexing="ij")) - 19.5
    radius = grid.norm(dim=0)
    classes = torch.zeros(40, 40, 40, dtype=torch.uint8)
    for edge, index in ((19, CSF), (17, CORTEX), (13, WHITE), (ventricle, VENTRICLE)):
        classes[radius < edge] = index
    return classes, radius


@pytest.fixture(name="drawn", scope="module")
def fixture_drawn(shapes):
    return [draw_lesion(rng(seed), shapes, patch(6.0)[0], START) for seed in range(200)]


def test_shares_are_those_of_a_distribution():
    assert sum(KIND_SHARES.values()) == pytest.approx(1)


def test_kinds_come_in_their_shares(drawn):
    kinds = [lesion.kind for lesion in drawn]
    assert set(kinds) == set(KIND_SHARES)
    for kind, share in KIND_SHARES.items():
        spread = (200 * share * (1 - share)) ** 0.5
        assert abs(kinds.count(kind) - 200 * share) < 3.5 * spread, kind


def test_lesions_stay_in_the_brain(drawn):
    _, radius = patch()
    for lesion in drawn:
        assert lesion.alpha.min() >= 0 and lesion.alpha.max() <= 1
        assert lesion.alpha[radius > 21].max() < 1e-3  # the soft border reaches two voxels
        assert lesion.alpha[radius > 19.9].max() < 0.5
        assert lesion.alpha[radius < 4].max() < 1e-3  # out of the ventricle
    # the home of the stroke shape is at the brain's edge here: now and then all of it lies outside
    empty = [lesion.kind for lesion in drawn if not lesion.alpha.any()]
    assert set(empty) <= {"none", "stroke"} and empty.count("stroke") <= 4
    assert empty.count("none") == sum(lesion.kind == "none" for lesion in drawn)
    visible = sum(bool(lesion.alpha.max() > 0.3) for lesion in drawn)
    assert visible > 0.6 * len(drawn)


def test_only_some_masses_have_a_core_an_oedema_and_a_push(drawn):
    masses = [lesion for lesion in drawn if lesion.kind in ("tumour", "haemorrhage")]
    for has in (
        lambda lesion: bool(lesion.core.any()) and lesion.kind != "stroke",
        lambda lesion: lesion.oedema is not None,
        lambda lesion: lesion.push is not None,
    ):
        found = [lesion for lesion in drawn if has(lesion)]
        assert {lesion.kind for lesion in found} <= {"tumour", "haemorrhage"}
        assert 0.25 * len(masses) < len(found) < 0.75 * len(masses)  # half of some 60


def test_four_in_ten_lesions_have_a_soft_border(monkeypatch):
    """Balls of radius 9: the share falls from .9 to .1 over 2.6 σ, σ above 1.3 or not."""
    classes = torch.full((40, 40, 40), WHITE, dtype=torch.uint8)
    ball = ((patch_grid((0, 0, 0), (40, 40, 40)) - 19.5).norm(dim=0) < 9).float()
    monkeypatch.setattr(lesions, "_draw_spots", lambda *_: ball)
    widths = []
    for seed in range(100):
        ray = draw_lesion(rng(seed), [], classes, START, "spots").alpha[20:, 20, 20].numpy()
        ray = ray / ray[0]
        widths.append(np.interp(-0.1, -ray, np.arange(20)) - np.interp(-0.9, -ray, np.arange(20)))
    soft = sum(width > 2.6 * 1.3 for width in widths)
    assert abs(soft - 40) < 3.5 * 24**0.5
    assert max(widths) < 2.6 * 2.5 + 1


def test_no_lesion_without_enough_tissue(shapes):
    classes = torch.zeros(40, 40, 40, dtype=torch.uint8)
    classes[:10, :10, :10] = CORTEX
    for seed in range(10):
        assert draw_lesion(rng(seed), shapes, classes, START).kind == "none"


def test_without_shapes_the_drawn_kinds_remain():
    kinds = {draw_lesion(rng(seed), [], patch()[0], START).kind for seed in range(60)}
    assert kinds == {"tumour", "haemorrhage", "spots", "none"}  # nor is there a ventricle
    kinds = {draw_lesion(rng(seed), [], patch(5.0)[0], START).kind for seed in range(60)}
    assert kinds == {"tumour", "haemorrhage", "spots", "periventricular", "none"}


@pytest.mark.parametrize("kind", KIND_SHARES)
def test_a_kind_may_be_told(shapes, kind):
    for seed in range(4):
        assert draw_lesion(rng(seed), shapes, patch(6.0)[0], START, kind).kind == kind


def test_a_seed_repeats(shapes):
    first, second = (draw_lesion(rng(3), shapes, patch()[0], START) for _ in range(2))
    assert torch.equal(first.alpha, second.alpha)


# --- masses ----------------------------------------------------------------------------------

WIDE = 72
MIDDLE = torch.tensor([35.0, 35.0, 35.0])


@pytest.fixture(name="masses", scope="module")
def fixture_masses():
    """Masses in the middle of white matter that fills the patch: what limits them is their own."""
    classes = torch.full((WIDE, WIDE, WIDE), WHITE, dtype=torch.uint8)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lesions, "random_place", lambda *_: MIDDLE.clone())
        return {
            kind: [lesions._draw_mass(rng(seed), classes, classes > 0, kind) for seed in range(40)]
            for kind in ("tumour", "haemorrhage")
        }


@pytest.mark.parametrize(
    ("kind", "smallest", "largest"), [("tumour", 6, 32), ("haemorrhage", 4, 20)]
)
def test_pushes_are_as_wide_as_their_mass(masses, kind, smallest, largest):
    """The reach is the radius, uniform between its ends; the shift .05 to .4 of it."""
    assert {mass.kind for mass in masses[kind]} == {kind}
    pushes = [mass.push for mass in masses[kind] if mass.push]
    assert 10 <= len(pushes) <= 30  # half of 40, spread 3.2
    reaches = np.array([push.reach for push in pushes])
    assert smallest <= reaches.min() and reaches.max() <= largest
    assert reaches.mean() == pytest.approx((smallest + largest) / 2, rel=0.25)
    shares = np.array([push.shift / push.reach for push in pushes])
    assert 0.05 <= shares.min() < 0.12 and 0.33 < shares.max() <= 0.4
    for push in pushes:
        assert torch.equal(push.centre, MIDDLE)


def test_a_mass_has_the_volume_of_its_radius(masses):
    """Without oedema, and where it fits in the patch; outlines are stretched and rough."""
    ratios = []
    for kind in ("tumour", "haemorrhage"):
        for mass in masses[kind]:
            if mass.push and mass.oedema is None and mass.push.reach < 18:
                ball = 4 / 3 * np.pi * mass.push.reach**3
                ratios.append(float(mass.alpha.sum()) / ball)
    assert len(ratios) >= 8
    assert 0.5 < np.median(ratios) < 1.6
    assert min(ratios) > 0.1


def test_a_core_lies_within_its_mass(masses):
    cores = [m for kind in masses.values() for m in kind if m.core.any() and m.oedema is None]
    assert len(cores) >= 10
    shares = {False: [], True: []}
    for mass in cores:
        assert mass.core.max() > 0.2 and mass.core.max() <= 1
        # softened by σ .8, cut at two voxels along each axis; a hole begins at the very rim
        outside = ndimage.distance_transform_edt(mass.alpha.numpy() == 0)
        furthest = 3.5 if mass.fluid else 2
        assert not mass.core[torch.from_numpy(outside > furthest)].any()
        shares[mass.fluid].append(float(mass.core.sum() / mass.alpha.sum()))
    assert 0.03 < np.median(shares[False]) < 0.45  # .3³ to .75³
    assert len(shares[True]) >= 2 and 0.35 < np.median(shares[True]) < 0.9  # .7³ to .95³
    tumours = [mass.fluid for mass in masses["tumour"] if mass.core.any()]
    assert abs(sum(tumours) - 0.6 * len(tumours)) < 3.5 * (0.24 * len(tumours)) ** 0.5


def test_only_tumours_and_old_infarcts_hold_fluid(drawn, masses):
    fluid = [lesion for lesion in drawn if lesion.fluid]
    assert {lesion.kind for lesion in fluid} == {"tumour", "stroke"}
    assert not any(mass.fluid for mass in masses["haemorrhage"])
    strokes = [lesion for lesion in drawn if lesion.kind == "stroke"]
    holes = sum(lesion.fluid for lesion in strokes)
    assert abs(holes - 0.4 * len(strokes)) < 3.5 * (0.24 * len(strokes)) ** 0.5
    for lesion in (lesion for lesion in drawn if lesion.core.any()):
        assert lesion.core.min() >= 0 and lesion.core.max() <= 1


def test_a_hole_may_be_told(shapes):
    """It is a tumour, always with fluid in the place of its middle."""
    for seed in range(8):
        told = draw_lesion(rng(seed), shapes, patch()[0], START, "hole")
        assert told.kind == "tumour" and told.fluid
        assert told.core.any()


def test_the_fluid_of_an_infarct_leaves_a_rim():
    """A ball of radius 9: the hole is a ball within it, whole in the middle."""
    distance = (patch_grid((0, 0, 0), (30, 30, 30)) - 14.5).norm(dim=0)
    alpha = (distance < 9).float()
    for seed in range(20):
        core = lesions._draw_hole(rng(seed), alpha)
        assert core[distance < 3].min() > 0.9
        assert core[distance > 9 + 3].max() == 0
        assert core.sum() < alpha.sum()


def test_an_oedema_surrounds_its_mass(masses):
    """It is what the mass is not: nothing in a core, all at the outer rim."""
    both = [m for kind in masses.values() for m in kind if m.oedema is not None]
    assert 24 <= len(both) <= 56  # half of 80, spread 4.5
    for mass in both:
        assert mass.oedema.min() >= 0 and mass.oedema.max() <= 1
        assert (mass.alpha[mass.oedema > 0] > 0).all()
        # both are softened by σ .8 over two voxels, so they may meet but not both be whole
        assert (mass.oedema * mass.core).max() < 0.6
        if mass.push and mass.push.reach < 12:
            centre = tuple(int(n) for n in MIDDLE)
            assert mass.oedema[centre] < 0.05
            assert mass.oedema.max() > 0.95


def oedema_of(classes, seed):
    """The oedema of a mass in the middle, or None; its radius does not depend on the classes."""
    return lesions._draw_mass(rng(seed), classes, classes > 0, "haemorrhage").oedema


def test_an_oedema_follows_the_white_matter(monkeypatch):
    """Left of the centre white matter, right of it grey: it reaches further to the left."""
    monkeypatch.setattr(lesions, "random_place", lambda *_: MIDDLE.clone())
    halves = torch.full((WIDE, WIDE, WIDE), WHITE, dtype=torch.uint8)
    halves[36:] = CORTEX
    white = torch.full_like(halves, WHITE)
    left = right = right_if_white = 0.0
    for seed in range(24):
        found, free = oedema_of(halves, seed), oedema_of(white, seed)
        if found is not None:
            left += float(found[:33].sum())
            right += float(found[39:].sum())
            right_if_white += float(free[39:].sum())
            # blurs of 3 and at most 8 voxels: further from the grey half nothing changes
            assert float((found[:25] - free[:25]).abs().max()) < 1e-5
    assert left > 1000
    assert right < 0.7 * right_if_white


def test_an_oedema_stays_in_the_tissue(monkeypatch):
    monkeypatch.setattr(lesions, "random_place", lambda *_: MIDDLE.clone())
    classes = torch.zeros((WIDE, WIDE, WIDE), dtype=torch.uint8)
    classes[:36] = WHITE
    seen = 0
    for seed in range(12):
        found = oedema_of(classes, seed)
        if found is not None:
            seen += 1
            assert not found[36 + 8 :].any()  # σ up to 2.5, cut at 3 σ
            assert found[:36].any()
    assert seen >= 3


def test_periventricular_lesions_hug_the_ventricle():
    classes, radius = patch(6.0)
    depths = []
    for seed in range(20):
        alpha = lesions._draw_periventricular(rng(seed), classes)
        assert not alpha[classes != WHITE].any()
        depths += (radius[alpha > 0] - 6).tolist()
    assert np.median(depths) < 3  # half of the white matter around lies further than 5 voxels
    assert len(depths) > 1000


def test_spots_are_small_and_few():
    tissue = torch.ones(48, 48, 48, dtype=torch.bool)
    counts, volumes = [], []
    for seed in range(60):
        alpha = lesions._draw_spots(rng(seed), tissue).numpy()
        _, count = ndimage.label(alpha, np.ones((3, 3, 3)))
        counts.append(count)
        volumes.append(alpha.sum() / count)
    assert min(counts) >= 1
    assert 2 < np.mean(counts) < 5.5  # one to six; some overlap, rough ones break
    # a ball of 1.5 voxels has 14, one of 7 has 1437
    assert 30 < np.median(volumes) < 900 and max(volumes) < 5000


# --- where a lesion may be -------------------------------------------------------------------


def test_confining_by_a_gaussian_of_scipy():
    """Half white matter, half ventricle; radius 2 at σ .6."""
    classes = torch.full((20, 8, 8), VENTRICLE, dtype=torch.uint8)
    classes[:10] = WHITE
    lesion = Lesion(torch.full((20, 8, 8), 0.8), torch.zeros(20, 8, 8), "ms")
    found = confine(lesion, classes)
    inside = (classes != VENTRICLE).numpy().astype(float)
    expected = 0.8 * ndimage.gaussian_filter(inside, 0.6, radius=2, mode="nearest")
    np.testing.assert_allclose(found.alpha, expected, atol=1e-6)
    assert found.alpha[9, 4, 4] < 0.75 and found.alpha[10, 4, 4] > 0.05  # soft
    assert not found.alpha[12:].any()
    assert torch.equal(lesion.alpha, torch.full((20, 8, 8), 0.8))


@pytest.mark.parametrize(
    ("index", "allowed"), [(0, 0), (1, 0), (2, 1), (3, 1), (9, 1), (12, 1), (13, 0), (14, 0)]
)
def test_classes_that_a_lesion_may_cover(index, allowed):
    """Brain tissue and sulci; not background, ventricles, choroid plexus or rim."""
    classes = torch.full((9, 9, 9), index, dtype=torch.uint8)
    whole = Lesion(torch.ones(9, 9, 9), torch.zeros(9, 9, 9), "ms")
    np.testing.assert_allclose(confine(whole, classes).alpha, allowed, atol=1e-6)
