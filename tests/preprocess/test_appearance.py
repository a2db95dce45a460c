"""Balls and ellipsoids of known size: what is measured on them can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from anatomaly.preprocess.appearance import is_bare, measure_appearance
from anatomaly.preprocess.coarse_head import (
    CoarseHead,
    coarse_grid,
    load_tissue_regions,
    place_coarse_head,
)
from anatomaly.preprocess.template import load_template
from anatomaly.volume import Volume

CENTRE = (0.0, -18.0, 10.0)
BRAIN_MM = np.array([66.0, 84.0, 60.0])
"""Half axes of the drawn brain."""


def _radius(half_axes):
    places = load_tissue_regions().places_mm
    return np.sqrt(
        sum(((p - c) / r) ** 2 for p, c, r in zip(places, CENTRE, half_axes, strict=True))
    )


def _head(scalp=0.9, around_mm=14.0, air=0.0, scale=1.0, covered=None):
    brain = _radius(BRAIN_MM) <= 1
    image = np.full(brain.shape, air, dtype=np.float32)
    image[_radius(BRAIN_MM + around_mm) <= 1] = air + 0.03
    inner = _radius(BRAIN_MM + around_mm - 5.0) > 1
    image[(_radius(BRAIN_MM + around_mm) <= 1) & inner] = air + scalp
    image[brain] = air + 1.0
    image = 300.0 * image + np.random.default_rng(0).normal(0, 3.0, image.shape)
    covered = np.ones(brain.shape, dtype=bool) if covered is None else covered
    to_template = np.diag([scale, scale, scale, 1.0])
    return CoarseHead(image.astype(np.float32), brain, covered, to_template)


def _girth(a, b):
    """Ramanujan's circumference of an ellipse."""
    h = ((a - b) / (a + b)) ** 2
    return np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h)))


@pytest.mark.parametrize("scale", [1.0, 1.25])
@pytest.mark.parametrize("air", [0.0, -5.0])
def test_size_is_measured_in_the_scans_mm_whatever_the_zero(scale, air):
    found = measure_appearance(_head(scale=scale, air=air), 1.0, bare=False)
    ml = 4 / 3 * np.pi * BRAIN_MM.prod() / scale**3 / 1000
    assert found.brain_ml == pytest.approx(ml, rel=0.01)
    around = BRAIN_MM + 14.0
    assert found.girth_mm == pytest.approx(_girth(around[0], around[1]) / scale, rel=0.015)
    assert found.cover_mm == pytest.approx(14.0 / scale, abs=1.6)  # a grid of 2 mm
    assert found.cover_signal == pytest.approx(0.9, abs=0.05)


def test_part_of_a_brain_counts_as_the_whole_that_it_is_of():
    head = _head()
    whole = measure_appearance(head, 1.0, bare=True).brain_ml
    upper = head.brain_mask & (load_tissue_regions().places_mm[2] > 10.0)  # half of it
    part = CoarseHead(head.image, upper, head.covered, head.scanner_to_template)
    assert measure_appearance(part, 1.0, bare=True).brain_ml < 0.55 * whole
    found = measure_appearance(part, 1.0, bare=True, missing=0.5).brain_ml
    assert found == pytest.approx(whole, rel=0.05)


def test_head_without_scalp_has_no_cover_and_no_girth():
    found = measure_appearance(_head(scalp=0.04), 1.0, bare=False)
    assert found.cover_signal == pytest.approx(0.05, abs=0.03)
    assert found.girth_mm is None and found.cover_mm is None


def test_bright_fluid_beside_a_tight_mask_is_no_cover():
    head = _head(scalp=0.04)
    head.image[(_radius(BRAIN_MM + 4.0) <= 1) & ~head.brain_mask] = 900.0
    assert measure_appearance(head, 1.0, bare=False).cover_signal == pytest.approx(0.05, abs=0.03)


def test_thin_skin_alone_is_a_cover():
    head = _head(scalp=0.03)
    skin = (_radius(BRAIN_MM + 14.0) <= 1) & (_radius(BRAIN_MM + 12.0) > 1)
    head.image[skin] = 150.0
    assert measure_appearance(head, 1.0, bare=False).cover_signal == pytest.approx(0.5, abs=0.05)


def test_nothing_is_said_of_what_is_out_of_view():
    z = load_tissue_regions().places_mm[2]
    x = load_tissue_regions().places_mm[0]
    everywhere = np.ones(_radius(BRAIN_MM).shape, dtype=bool)
    side = measure_appearance(_head(covered=everywhere & (x < 60)), 1.0, bare=False)
    assert side.girth_mm is None
    assert side.cover_signal == pytest.approx(0.9, abs=0.05)
    brain_only = measure_appearance(_head(covered=_radius(BRAIN_MM + 2.5) <= 1), 1.0, bare=False)
    assert brain_only.cover_signal is None and brain_only.girth_mm is None
    vertex = measure_appearance(_head(covered=everywhere & (z < 62)), 1.0, bare=False)
    assert vertex.girth_mm == pytest.approx(_girth(80, 98), rel=0.015)


def test_stripped_scan_is_measured_inside_only():
    found = measure_appearance(_head(), 1.0, bare=True)
    assert (found.cover_signal, found.cover_mm, found.girth_mm) == (None, None, None)


def test_mask_without_any_convexity_is_measured_as_far_as_it_goes():
    head = _head()
    head.brain_mask[:, :, load_tissue_regions().places_mm[2].ravel() > -20] = False
    found = measure_appearance(head, 1.0, bare=False)
    assert found.brain_ml > 0 and found.cover_signal is None and found.vein_brightness is None


def _tissue_image(veins=1.0, contrast=(0.1, 0.6, 0.9)):
    regions = load_tissue_regions()
    brain = _radius(np.array([72.0, 92.0, 80.0])) <= 1
    image = np.where(brain, contrast[1], 0.0)
    for region, value in zip(regions[:3], contrast, strict=True):
        image[region] = value
    x, y, z = regions.places_mm
    tube = (np.abs(x) <= 3) & (y > -76) & (y < -42) & (np.abs(z - 4) <= 3)
    image[tube] = contrast[0] + veins * (contrast[2] - contrast[0])
    covered = np.ones(image.shape, dtype=bool)
    return CoarseHead(image.astype(np.float32) * 500, brain, covered, np.eye(4))


def test_veins_are_measured_on_the_scale_of_csf_and_white_matter():
    for veins in (0.8, 2.0):
        found = measure_appearance(_tissue_image(veins), 1.0, bare=True)
        assert found.vein_brightness == pytest.approx(max(veins, 1.0), abs=0.05)
    assert found.bright_ml == pytest.approx(4 * 17 * 4 * 8 / 1000)  # voxels of the tube


@pytest.mark.parametrize("contrast", [(0.9, 0.5, 0.3), (0.1, 0.8, 0.7)])
def test_veins_are_measured_where_white_matter_is_brightest_only(contrast):
    found = measure_appearance(_tissue_image(2.0, contrast), 1.0, bare=True)
    assert found.vein_brightness is None and found.bright_ml is None


def test_bare_is_what_has_one_value_around_the_brain():
    brain = np.zeros((30, 30, 30), dtype=bool)
    brain[8:22, 8:22, 8:22] = True
    data = np.where(brain, 5.0, -1.3).astype(np.float32)
    mask = Volume(brain, np.eye(4))
    assert is_bare(Volume(data, np.eye(4)), mask)
    tighter = brain.copy()
    tighter[8] = False
    assert is_bare(Volume(data, np.eye(4)), Volume(tighter, np.eye(4)))
    data[2:6, 4:26, 4:26] = 3.0  # a scalp
    assert not is_bare(Volume(data, np.eye(4)), mask)


def test_bare_is_also_what_a_spline_left_around_a_stripped_brain():
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 40, 40), dtype=bool)
    mask[10:30, 10:30, 10:30] = True
    brain = np.where(mask, rng.normal(500, 80, mask.shape), rng.normal(0, 0.5, mask.shape))
    stripped = Volume(brain.astype(np.float32), np.eye(4))
    assert is_bare(stripped, stripped.with_data(mask))
    head = np.where(mask, brain, 200 + rng.normal(0, 30, mask.shape)).astype(np.float32)
    assert not is_bare(stripped.with_data(head), stripped.with_data(mask))


def test_cover_does_not_grow_where_the_scan_ends(monkeypatch):
    covered = np.ones(_head().image.shape, dtype=bool)
    covered[:8] = covered[-8:] = False
    z_scored = _head(air=-5.0, covered=covered)
    image = np.where(covered, z_scored.image, 0.0)  # what resampling leaves outside
    beyond = CoarseHead(image, z_scored.brain_mask, covered, z_scored.scanner_to_template)
    found = measure_appearance(beyond, 1.0, bare=False)
    assert found.cover_mm == pytest.approx(14.0, abs=2.0)


def test_place_of_the_coarse_head_and_of_its_field_of_view():
    template = load_template()
    moved = np.eye(4)
    moved[:3, 3] = (7.0, -3.0, 4.0)
    box = template.brain.data[30:130, 20:170, :140]
    affine = template.brain.affine.copy()
    affine[:3, 3] += (30.0, 20.0, 0.0)
    volume = Volume(box, np.linalg.inv(moved) @ affine)
    head = place_coarse_head(volume, template.brain_mask, moved)
    grid = coarse_grid()
    assert head.image.shape == grid.shape == head.covered.shape
    assert head.covered.sum() * 8 == pytest.approx(box.size, rel=0.02)
    place = np.linalg.inv(grid.affine) @ [0, -20, 10, 1]
    voxel = np.linalg.inv(template.brain.affine) @ [0, -20, 10, 1]
    i, j, k = np.rint(place[:3]).astype(int)
    a, b, c = np.rint(voxel[:3]).astype(int)
    near = template.brain.data[a - 1 : a + 2, b - 1 : b + 2, c - 1 : c + 2].mean()
    assert head.image[i, j, k] == pytest.approx(near, abs=0.05)
    assert head.native_mm == pytest.approx(1.0)
