"""The small pictures: the right slice, the right side, the right outline."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image
from scipy import ndimage

from anatomaly.report.pictures import cut_mask, draw_finding, draw_preparation, shrink


def pixels(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


def outlined(rgb):
    """Where the outline's light blue is; JPEG blurs colours a little."""
    return (rgb[..., 2] > 170) & (rgb[..., 0] < 150) & (rgb[..., 2] - rgb[..., 0] > 80)


def test_the_mask_is_that_of_the_table(made):
    mask = cut_mask(made.layers, 0.4, 60.0)
    volume = mask.sum() * made.layers.voxel_mm3
    np.testing.assert_allclose(volume, sum(lesion.volume_mm3 for lesion in made.lesions))


def test_a_finding_grows_as_the_program_lets_it_grow(made):
    steps = ndimage.gaussian_filter(made.layers.arrays["anomaly_map"], 1.0)  # soft borders
    layers = replace(made.layers, arrays={**made.layers.arrays, "anomaly_map": steps})
    plain, grown = (cut_mask(layers, 0.4, 60.0, share) for share in (1.0, 0.5))
    assert (grown & ~plain).any() and not (plain & ~grown).any()
    assert (steps[grown] * layers.map_step > 0.2).all()
    labels, count = ndimage.label(grown, np.ones((3, 3, 3)))
    assert all((steps[labels == n] * layers.map_step > 0.4).any() for n in range(1, count + 1))


def test_the_outline_lies_on_the_side_of_the_lesion(made):
    """The largest lesion lies at larger i of an axis that runs to the left: left in the picture."""
    mask = cut_mask(made.layers, 0.4, 60.0)
    rgb = pixels(draw_finding(made.layers, mask, made.spots[0].mm))
    half = rgb.shape[1] // 2
    columns = np.nonzero(outlined(rgb))[1]
    assert columns.size > 50 and columns.max() < half  # in the scan, not in the healthy image
    assert columns.mean() < half / 2
    stacked = pixels(draw_finding(made.layers, mask, made.spots[0].mm, stacked=True))
    assert stacked.shape[0] == 2 * rgb.shape[0] and stacked.shape[1] < half
    small = pixels(shrink(draw_finding(made.layers, mask, None, stacked=True), 120))
    assert small.shape[1] == 120 and small.shape[0] < 120


def test_physical_proportions(made):
    rgb = pixels(draw_finding(made.layers, cut_mask(made.layers, 0.4, 60.0), None, stacked=True))
    columns, rows, _ = made.layers.arrays["scan"].shape
    wide, high = columns * made.layers.spacing_mm[0], rows * made.layers.spacing_mm[1]
    assert abs(rgb.shape[0] / 2 / rgb.shape[1] - high / wide) < 0.02


def test_preparation_shows_both_outlines(made):
    rgb = pixels(draw_preparation(made.layers))
    amber = (rgb[..., 0] > 180) & (rgb[..., 1] > 130) & (rgb[..., 2] < 130)
    red = (rgb[..., 0] > 180) & (rgb[..., 1] < 140) & (rgb[..., 0] - rgb[..., 1] > 80)
    half = rgb.shape[0] // 2
    assert amber[:half].sum() > 500 and red[half:].sum() > 500
    assert red[:half].sum() < 50
