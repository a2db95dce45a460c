"""How bright a lesion is: ranges and shares of each sequence, and how it is blended in."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from anatomaly.training.synthesis import lesion_values
from anatomaly.training.synthesis.contrast import CORTEX, CSF, WHITE, Contrast, draw_contrast
from anatomaly.training.synthesis.label_maps import CLASS_NAMES
from anatomaly.training.synthesis.lesion_values import (
    PartValues,
    draw_fluid,
    draw_values,
    paint_lesion,
)
from anatomaly.training.synthesis.lesions import Lesion

COUNT = 3000
BOX = (slice(15, 25),) * 3


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def contrast_of(sequence, csf, grey, white):
    means = torch.zeros(len(CLASS_NAMES))
    means[CSF], means[CORTEX], means[WHITE] = csf, grey, white
    return Contrast(sequence, means, torch.zeros(len(CLASS_NAMES)))


T1W = contrast_of("T1w", 0.1, 0.5, 0.8)
T2W = contrast_of("T2w", 0.9, 0.5, 0.3)
FLAIR = contrast_of("FLAIR", 0.1, 0.65, 0.5)


def draws(contrast, kind, oedema=False):
    """Solid, core and oedema, each (COUNT,)."""
    source = rng()
    found = [draw_values(source, contrast, kind, oedema) for _ in range(COUNT)]
    return (np.array(part) for part in zip(*found, strict=True))


def check_uniform(values, low, high):
    """All within the ends, and evenly between them: the mean within four of its own errors."""
    assert low - 1e-6 <= values.min() and values.max() <= high + 1e-6
    error = (high - low) / np.sqrt(12 * len(values))
    assert values.mean() == pytest.approx((low + high) / 2, abs=4 * error)
    assert values.std() == pytest.approx((high - low) / np.sqrt(12), rel=0.15)


def check_share(found, share):
    """Within four standard deviations of a share of COUNT."""
    assert found.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / COUNT))


@pytest.mark.parametrize(
    ("kind", "bright"), [("tumour", 0.07), ("ms", 0.07), ("haemorrhage", 0.5 + 0.5 * 0.07)]
)
def test_t1w(kind, bright):
    """From white matter (.8) to CSF (.1): .15 to 1 of the way is .695 to .1."""
    solid, core, oedema = draws(T1W, kind)
    check_share(solid > 0.8, bright)
    check_uniform(solid[solid > 0.8], 0.8 * 1.05, 0.8 * 1.35)
    check_uniform(solid[solid < 0.8], 0.8 - 0.7, 0.8 - 0.15 * 0.7)
    check_uniform(core, 0.8 - 0.7, 0.8 - 0.5 * 0.7)
    check_uniform(oedema, 0.8 - 0.6 * 0.7, 0.8 - 0.12 * 0.7)


@pytest.mark.parametrize(("kind", "dark"), [("stroke", 0.05), ("haemorrhage", 0.5 + 0.5 * 0.05)])
def test_t2w(kind, dark):
    """From white matter (.3) to CSF (.9)."""
    solid, core, oedema = draws(T2W, kind)
    check_share(solid < 0.3, dark)
    check_uniform(solid[solid < 0.3], 0.2 * 0.3, 0.8 * 0.3)
    check_uniform(solid[solid > 0.3], 0.3 + 0.3 * 0.6, 0.3 + 1.1 * 0.6)
    check_uniform(core, 0.3 + 0.4 * 0.6, 0.3 + 1.1 * 0.6)
    check_uniform(oedema, 0.3 + 0.3 * 0.6, 0.3 + 0.9 * 0.6)


@pytest.mark.parametrize(("kind", "dark"), [("ms", 0.0), ("tumour", 0.0), ("haemorrhage", 0.5)])
def test_flair(kind, dark):
    """Above grey matter (.65); bleeding below white matter (.5), 45 % of the cores like CSF."""
    solid, core, oedema = draws(FLAIR, kind)

    def shares(values):
        """Even between the ends; those of tumours are squares, so their roots are even."""
        return ((values - 0.68) / 0.52).clip(0, None) ** (0.5 if kind == "tumour" else 1)

    check_share(solid < 0.5, dark) if dark else check_uniform(shares(solid), 0, 1)
    check_uniform(shares(solid[solid > 0.65]), 0, 1)
    if dark:
        check_uniform(solid[solid < 0.5], 0.2 * 0.5, 0.8 * 0.5)
    check_share(core < 0.45, 0.45)
    check_uniform(core[core < 0.45], 0.1, 0.1 + 0.6 * 0.55)
    between = (core > 0.45) & (core < 0.68)
    check_share(between | (core > 0.68), 0.55)
    assert core[between].min() >= 0.5 and between.mean() > 0.15  # of .25, up to .71
    check_uniform(shares(oedema), 0, 1)


def test_four_in_ten_flair_tumours_with_oedema_are_as_grey_matter():
    solid, _, oedema = draws(FLAIR, "tumour", oedema=True)
    assert oedema.min() > 0.67  # what they are told by
    brighter = 0.6 * (1 - ((0.71 - 0.68) / 0.52) ** 0.5)
    check_share(solid > 0.71, brighter)
    check_share(solid < 0.68, 0.4 * 0.18 / 0.21)
    check_uniform(solid[solid < 0.68], 0.5, 0.68)
    assert (next(draws(FLAIR, "ms", oedema=True)) > 0.67).all()


@pytest.mark.parametrize("contrast", [T1W, T2W, FLAIR], ids=lambda contrast: contrast.sequence)
def test_fluid_is_nearly_csf(contrast):
    source, csf, white = rng(), float(contrast.means[CSF]), float(contrast.means[WHITE])
    drawn = np.array([draw_fluid(source, contrast) for _ in range(COUNT)])
    check_uniform((drawn - csf) / (white - csf), 0.0, 0.35)


@pytest.mark.usefixtures("plain")
def test_a_hole_has_the_value_of_fluid_in_the_place_of_a_core():
    lesion = replace(box_lesion(core=True), fluid=True)
    image = torch.full((40, 40, 40), 0.2)
    found = paint_lesion(rng(), image, lesion, FLAIR)[20, 20, 20]
    assert 0.1 <= float(found) <= 0.1 + 0.35 * 0.4  # plain: a core of .9


def test_a_random_contrast_keeps_away_from_white_matter():
    for part in draws(contrast_of("random", 0.9, 0.2, 0.5), "tumour"):
        below, above = part[part < 0.5], part[part > 0.5]
        check_uniform(below, 0.0, 0.38)
        check_uniform(above, 0.62, 1.2)
        check_share(part < 0.5, 0.38 / (0.38 + 0.58))


def box_lesion(core=False, oedema=False, kind="tumour"):
    alpha = torch.zeros(40, 40, 40)
    alpha[BOX] = 1.0
    inner, outer = torch.zeros_like(alpha), None
    if core:
        inner[18:22, 18:22, 18:22] = 1.0
    if oedema:
        outer = torch.zeros_like(alpha)
        outer[15:17, 15:25, 15:25] = 1.0
        outer[17, 15:25, 15:25] = 0.5
    return Lesion(alpha, inner, kind, outer)


def test_painting_changes_the_lesion_only():
    image = torch.rand(40, 40, 40, generator=rng(9))
    lesion = box_lesion(core=True, oedema=True)
    before = image.clone()
    painted = paint_lesion(rng(), image, lesion, draw_contrast(rng(1), "T1w"))
    assert torch.equal(image, before)
    assert torch.equal(painted[lesion.alpha == 0], image[lesion.alpha == 0])
    assert (painted - image)[lesion.alpha == 1].abs().mean() > 0.02


def test_no_lesion_paints_nothing():
    image = torch.rand(40, 40, 40, generator=rng(9))
    none = Lesion(torch.zeros(40, 40, 40), torch.zeros(40, 40, 40), "none")
    assert torch.equal(paint_lesion(rng(), image, none, T1W), image)


def test_half_alpha_is_half_way():
    image, contrast = torch.zeros(40, 40, 40), draw_contrast(rng(1), "T2w")
    whole = box_lesion()
    half = Lesion(whole.alpha / 2, whole.core, whole.kind)
    first, second = (paint_lesion(rng(5), image, k, contrast) for k in (whole, half))
    torch.testing.assert_close(first, 2 * second)


@pytest.fixture(name="plain")
def fixture_plain(monkeypatch):
    """Solid .4, core .9, oedema .6, without texture."""
    monkeypatch.setattr(lesion_values, "draw_values", lambda *_: PartValues(0.4, 0.9, 0.6))
    monkeypatch.setattr(
        lesion_values, "smooth_field", lambda rng, shape, spacing, box: torch.zeros(shape)[box]
    )


@pytest.mark.usefixtures("plain")
def test_each_part_has_its_own_value():
    image = torch.full((40, 40, 40), 0.2)
    painted = paint_lesion(rng(), image, box_lesion(core=True, oedema=True), T1W)
    for place, value in (
        ((10, 20, 20), 0.2),
        ((16, 20, 20), 0.6),  # oedema
        ((17, 20, 20), 0.5),  # half of it
        ((24, 24, 24), 0.4),  # solid
        ((20, 20, 20), 0.9),  # core
    ):
        assert painted[place].item() == pytest.approx(value, abs=1e-6), place


@pytest.mark.usefixtures("plain")
def test_a_soft_core_is_mixed_before_the_oedema():
    """.4 + .5 · .3 is .55 in a core of .3; half of an oedema of .6 there makes .575."""
    one = torch.ones(3, 3, 3)
    painted = paint_lesion(rng(), 0.1 * one, Lesion(0.8 * one, 0.3 * one, "tumour", 0.5 * one), T1W)
    np.testing.assert_allclose(painted, 0.1 + 0.8 * (0.575 - 0.1), atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "most"), [("tumour", 0.2), ("haemorrhage", 0.2), ("ms", 0.08), ("spots", 0.08)]
)
def test_texture_is_as_rough_as_its_kind(monkeypatch, kind, most):
    """A field of ones in the place of the texture: its share is uniform from nothing on."""
    monkeypatch.setattr(lesion_values, "draw_values", lambda *_: PartValues(0.4, 0.4, 0.4))
    monkeypatch.setattr(
        lesion_values, "smooth_field", lambda rng, shape, spacing, box: torch.ones(shape)[box]
    )
    one = torch.ones(2, 2, 2)
    lesion, source = Lesion(one, 0 * one, kind), rng()
    drawn = [float(paint_lesion(source, one, lesion, T1W)[0, 0, 0]) for _ in range(800)]
    check_uniform(np.array(drawn) - 0.4, 0.0, most)


@pytest.mark.parametrize(("sequence", "brighter", "share"), [("T1w", 0, 0.93), ("T2w", 1, 0.95)])
def test_direction_against_white_matter(sequence, brighter, share):
    as_said = []
    for seed in range(150):
        contrast = draw_contrast(rng(seed), sequence)
        painted = paint_lesion(rng(seed + 1000), torch.zeros(40, 40, 40), box_lesion(), contrast)
        as_said.append(bool(painted[BOX].mean() > contrast.means[WHITE]) == bool(brighter))
    assert share - 0.08 < np.mean(as_said) < 1.0


def test_flair_lesions_are_brighter_than_grey_matter():
    lesion = box_lesion(kind="ms")
    for seed in range(60):
        contrast = draw_contrast(rng(seed), "FLAIR")
        painted = paint_lesion(rng(seed + 1000), torch.zeros(40, 40, 40), lesion, contrast)
        assert painted[BOX].mean() > contrast.means[CORTEX]
