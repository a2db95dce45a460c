"""The page's volumes: the same places, the same numbers, in 8 bits."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from anatomaly.geometry import apply_affine
from anatomaly.report.layers import (
    decode_layer,
    encode_layer,
    layer_on,
    make_layers,
    quantise_map,
    read_layers,
    steps_up_to,
)


def test_a_layer_comes_back_to_the_grid_of_the_scan(made):
    """Turned and cropped, and back: inside the page's box every voxel is what it was."""
    layers, native = made.layers, made.tissue_map
    back = layer_on(layers.arrays["tissue_map"], layers.affine, native)
    np.testing.assert_array_equal(back.data, native.data * (made.brain_mask.data > 0))


def test_a_voxel_lies_where_it_lay(made):
    """The single bright voxel keeps its place in mm: found by another route, the centre of mass."""
    layers = made.layers
    index = np.argwhere(layers.arrays["anomaly_map"] == layers.arrays["anomaly_map"].max())
    here = apply_affine(layers.affine, index.astype(float)).mean(0)
    native = made.anomaly_map
    there = np.argwhere(native.data == native.data.max()).astype(float)
    np.testing.assert_allclose(here, apply_affine(native.affine, there).mean(0), atol=1e-9)
    axes = layers.affine[:3, :3]
    assert np.abs(axes).argmax(axis=0).tolist() == [0, 1, 2] and (axes.diagonal() > 0).all()


def test_the_mask_of_the_page_is_that_of_the_scan(made):
    above = made.layers.arrays["anomaly_map"] > steps_up_to(0.4, made.layers.map_step)
    labels, _ = ndimage.label(above, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())[1:] * made.layers.voxel_mm3
    kept = sorted(size for size in sizes if size >= 60)[::-1]
    np.testing.assert_allclose(kept, [lesion.volume_mm3 for lesion in made.lesions], rtol=1e-12)
    assert len(sizes) == 3  # the small one is there, and too small


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
    st.floats(0, 1, width=32),
)
@example([0.5], 0.001953125)  # the threshold lies within the first step
def test_quantising_never_moves_a_voxel_across_the_threshold(scores, threshold):
    scores = np.array([*scores, threshold, np.nextafter(np.float32(threshold), np.float32(2))])
    scores = scores.clip(0, 1).astype(np.float32)
    steps, step = quantise_map(scores, threshold)
    passes = steps > steps_up_to(threshold, step)
    np.testing.assert_array_equal(passes[scores < 1], (scores > threshold)[scores < 1])
    top = scores.max()
    if threshold * 1.5 <= top:  # else the steps are chosen around the threshold
        assert np.abs(steps * step - scores).max() <= step * 1.001


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
    st.floats(0.0625, 1, width=32),
    st.sampled_from([0.5, 0.6, 0.75]),
)
def test_quantising_moves_no_voxel_across_the_share_that_findings_grow_to(scores, threshold, share):
    low = share * threshold
    scores = np.array([*scores, low, np.nextafter(np.float32(low), np.float32(2))])
    scores = scores.clip(0, 1).astype(np.float32)
    steps, step = quantise_map(scores, threshold, share)
    for cut in (threshold, low):
        passes = steps > steps_up_to(cut, step)
        np.testing.assert_array_equal(passes[scores < 1], (scores > cut)[scores < 1])


def test_grey_values(made):
    layers = made.layers
    inside = layers.arrays["brain_mask"] > 0
    scan, healthy = layers.arrays["scan"], layers.arrays["pseudo_healthy"]
    assert not healthy[~inside].any() and scan[~inside].any()
    assert np.quantile(scan[inside], 0.003) == 0 and np.quantile(scan[inside], 0.998) == 255
    quiet = inside & (layers.arrays["structure"] < 100)
    difference = scan[quiet].astype(int) - healthy[quiet]
    assert abs(np.median(difference)) <= 1 and set(np.unique(layers.arrays["template"])) == {0, 3}


def test_too_many_voxels_are_made_coarser_and_keep_their_place(made):
    coarse = make_layers(made.volumes, 0.4, max_voxels=9000)
    assert not coarse.is_exact and made.layers.is_exact
    assert coarse.arrays["scan"].size <= 9000
    for name in ("brain_mask", "template"):
        fine = centre(made.layers, name)
        assert np.linalg.norm(centre(coarse, name) - fine) < 1.0  # mm; voxels are 5 mm wide
    volume = (coarse.arrays["brain_mask"] > 0).sum() * coarse.voxel_mm3
    assert volume == pytest.approx(made.brain_mask.data.sum() * 28.56, rel=0.05)
    assert set(np.unique(coarse.arrays["tissue_map"])) <= {0, 1, 2, 3}


def centre(layers, name):
    index = np.argwhere(layers.arrays[name] > 0)
    return apply_affine(layers.affine, index.astype(float)).mean(0)


def test_a_layer_reads_back(made):
    array, affine = made.layers.arrays["scan"], made.layers.affine
    again, own = decode_layer(encode_layer(array, affine))
    np.testing.assert_array_equal(again, array)
    np.testing.assert_allclose(own, affine, atol=1e-4)
    assert encode_layer(array, affine) == encode_layer(array, affine)
    assert read_layers("<p>no layer</p>") == {}
