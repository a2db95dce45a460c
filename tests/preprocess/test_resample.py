from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nilearn.image import resample_img

from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, apply_affine
from anatomaly.preprocess import resample as module
from anatomaly.preprocess.resample import (
    empty_grid,
    resample,
    resample_each,
    resample_to_template,
    template_grid,
    undo_resample,
)
from anatomaly.volume import Volume

WORLD = np.array(
    [[1.05, 0.1, 0, 4], [-0.08, 0.93, 0.12, -7], [0.02, -0.1, 1.1, 11], [0, 0, 0, 1.0]]
)


def _places(volume):
    indices = np.stack(np.indices(volume.shape), axis=-1)
    return apply_affine(volume.affine, indices)


def _ramp(places):
    return 3.0 * places[..., 0] - 2.0 * places[..., 1] + 0.5 * places[..., 2] + 40.0


def _scan_grid(oblique):
    return empty_grid((93, 97, 79), oblique)


def test_linear_field_is_reproduced_where_the_formula_says(oblique):
    grid = _scan_grid(oblique)
    scan = Volume(_ramp(_places(grid)).astype(np.float32), oblique)
    out = resample_to_template(scan, WORLD)
    expected = _ramp(apply_affine(np.linalg.inv(WORLD), _places(template_grid())))
    inside = np.zeros(TEMPLATE_SHAPE, dtype=bool)
    inside[50:110, 60:130, 50:110] = True
    assert out.shape == TEMPLATE_SHAPE
    np.testing.assert_allclose(out.data[inside], expected[inside], atol=0.02)


def test_agrees_with_nilearn_on_an_oblique_grid(oblique):
    rng = np.random.default_rng(1)
    scan = Volume(rng.random((31, 43, 27)).astype(np.float32), oblique)
    target = np.diag([2.1, 1.9, 2.3, 1.0])
    target[:3, 3] = oblique[:3, :3] @ (15, 20, 13) + oblique[:3, 3] - 12
    ours = resample(scan, empty_grid((11, 13, 9), target))
    theirs = resample_img(
        nib.Nifti1Image(scan.data, scan.affine),
        target_affine=target,
        target_shape=(11, 13, 9),
        interpolation="linear",
    )
    np.testing.assert_allclose(ours.data, theirs.get_fdata(), atol=2e-5)


def test_undo_brings_a_smooth_image_back(oblique):
    grid = _scan_grid(oblique)
    places = _places(grid)
    wave = np.sin(places[..., 0] / 17) + np.cos(places[..., 1] / 19) + np.sin(places[..., 2] / 23)
    scan = Volume(wave.astype(np.float32), oblique)
    back = undo_resample(resample_to_template(scan, WORLD), grid, WORLD)
    np.testing.assert_array_equal(back.affine, oblique)
    middle = (slice(35, 60), slice(35, 60), slice(30, 50))
    # two linear interpolations of a wave of 17 mm radius: error below 2 * h²/8 * curvature = .015
    np.testing.assert_allclose(back.data[middle], wave[middle], atol=0.02)


def test_labels_keep_their_values_and_type(oblique):
    labels = Volume(
        np.random.default_rng(2).choice([0, 4, 207], (20, 21, 22)).astype(np.uint8), oblique
    )
    out = resample(labels, empty_grid((15, 9, 12), oblique), order=0)
    np.testing.assert_array_equal(out.data, labels.data[:15, :9, :12])
    assert out.data.dtype == np.uint8


def test_masks_stay_masks(oblique):
    mask = Volume(np.random.default_rng(3).random((9, 8, 7)) > 0.5, oblique)
    np.testing.assert_array_equal(resample(mask, mask, order=0).data, mask.data)


def test_outermost_thick_slices_keep_their_full_thickness():
    slab = Volume(np.full((4, 5, 3), 7.0, dtype=np.float32), np.diag([1.0, 1.0, 5.5, 1.0]))
    fine = np.diag([1.0, 1.0, 0.5, 1.0])
    fine[2, 3] = -5.0
    out = resample(slab, empty_grid((4, 5, 45), fine)).data[2, 2]
    heights = -5.0 + 0.5 * np.arange(45)
    filled = np.abs(heights - 5.5) < 1.5 * 5.5 - 0.01
    np.testing.assert_array_equal(out[filled], 7.0)
    assert (out[np.abs(heights - 5.5) > 1.5 * 5.5 + 0.01] == 0).all()


def test_coarser_grid_averages_instead_of_picking():
    rng = np.random.default_rng(4)
    noise = Volume(rng.normal(10, 1, (60, 60, 60)).astype(np.float32), np.eye(4))
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = 1.5
    coarse = resample(noise, empty_grid((15, 15, 15), affine)).data[2:-2, 2:-2, 2:-2]
    assert coarse.mean() == pytest.approx(10, abs=0.05)
    # a box average of 64 voxels would leave 1/8; a Gaussian of the same width about 1/8
    assert 0.05 < coarse.std() < 0.2


def test_nothing_in_view_gives_zeros_not_an_error(oblique):
    far = np.eye(4)
    far[0, 3] = 5000
    out = resample(Volume(np.ones((5, 5, 5), dtype=np.float32), far), _scan_grid(oblique))
    assert not out.data.any()


@pytest.mark.parametrize("spacing", [(1.3, 0.8, 2.9), (3.0, 3.0, 5.5)])
@pytest.mark.parametrize("touches_the_edge", [True, False])
def test_what_is_empty_is_left_out_and_changes_nothing(
    oblique, spacing, touches_the_edge, monkeypatch
):
    data = np.zeros(TEMPLATE_SHAPE, np.float32)
    low = (0, 60, 130) if touches_the_edge else (40, 60, 90)
    blob = tuple(slice(start, start + 30) for start in low)
    data[blob] = np.random.default_rng(3).uniform(0.5, 1, (30, 30, 30))
    volume = Volume(data, TEMPLATE_AFFINE.copy())
    grid = empty_grid((110, 120, 70), oblique @ np.diag([*spacing, 1.0]))
    quick = [undo_resample(volume, grid, WORLD), undo_resample(volume, grid, WORLD, order=0)]
    whole = tuple(slice(0, size) for size in grid.shape)
    monkeypatch.setattr(module, "_box_of_output", lambda source, to_input, shape: whole)
    slow = [undo_resample(volume, grid, WORLD), undo_resample(volume, grid, WORLD, order=0)]
    assert quick[0].data.max() > 0.2
    np.testing.assert_allclose(quick[0].data, slow[0].data, atol=1e-6)
    assert (quick[1].data != slow[1].data).mean() < 1e-5  # where two voxels are equally near


def test_several_affines_at_once_give_what_each_gives_alone(oblique):
    rng = np.random.default_rng(0)
    volume = Volume(rng.uniform(size=(40, 50, 30)).astype(np.float32), oblique)
    grid = empty_grid((12, 14, 9), oblique @ np.diag([3.0, 3.5, 3.2, 1.0]))
    turned = np.diag([-1.0, -1.0, 1.0, 1.0])
    turned[:3, 3] = 2 * oblique[:3, :3] @ (20, 25, 0) + 2 * oblique[:3, 3] * (1, 1, 0)
    worlds = [None, WORLD, turned, WORLD]
    for world, together in zip(worlds, resample_each(volume, grid, worlds), strict=True):
        np.testing.assert_allclose(together.data, resample(volume, grid, world).data, atol=1e-6)
