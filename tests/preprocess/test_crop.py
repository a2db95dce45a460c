from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anatomaly.geometry import apply_affine
from anatomaly.preprocess import crop
from anatomaly.preprocess.background import find_usual_range
from anatomaly.preprocess.bias_field import BiasField
from anatomaly.preprocess.crop import coarsen, crop_to_content, refine, undo_crop
from anatomaly.volume import Volume

AFFINE = np.array([[-0.9, 0.1, 0, 40], [0.1, 1.1, 0.2, -30], [0, -0.2, 2.4, 11], [0, 0, 0, 1.0]])


def _scan(background: float = 0.0) -> Volume:
    """An ellipsoid with texture that touches five of the six sides of its grid."""
    shape = (31, 37, 23)
    places = np.stack(np.indices(shape), -1) / (np.array(shape) - 1) * 2 - 1
    inside = np.linalg.norm(places, axis=-1) <= 1
    texture = np.random.default_rng(1).normal(100, 15, shape)
    return Volume(np.where(inside, texture, background).astype(np.float32), AFFINE)


def _pad(volume: Volume, widths: list[tuple[int, int]], value: float, noise: float = 0) -> Volume:
    data = np.pad(volume.data, widths, constant_values=value).astype(np.float32)
    added = np.ones(data.shape, dtype=bool)
    added[tuple(slice(a, n - b) for (a, b), n in zip(widths, data.shape, strict=True))] = False
    drawn = np.random.default_rng(2).uniform(0, noise, int(added.sum()))
    data[added] += drawn.astype(np.float32)
    affine = volume.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [a for a, _ in widths]
    return Volume(data, affine)


def _crop(volume: Volume):
    return crop_to_content(volume, find_usual_range(volume.data))


WIDTHS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=3)


@given(WIDTHS, st.sampled_from([0.0, -5.0, 60.0]), st.sampled_from([0.0, -3.0, 80.0]))
def test_padding_on_any_side_by_any_value_comes_off_bit_for_bit(widths, value, background):
    scan = _scan(background)
    alone, _ = _crop(scan)
    cut, record = _crop(_pad(scan, widths, value))
    np.testing.assert_array_equal(cut.data, alone.data)
    np.testing.assert_allclose(cut.affine, alone.affine, atol=1e-9)
    removed = np.array(record.removed) - np.array(_crop(scan)[1].removed)
    np.testing.assert_array_equal(removed, widths)


def test_faint_noise_in_the_padding_comes_off_too():
    scan = _scan()
    padded = _pad(scan, [(8, 3), (0, 5), (2, 2)], 0.0, noise=0.5)
    np.testing.assert_array_equal(_crop(padded)[0].data, _crop(scan)[0].data)


def test_air_as_a_scanner_records_it_stays():
    scan = _scan()
    air = np.abs(np.random.default_rng(3).normal(0, 4, scan.shape)).astype(np.float32)
    noisy = scan.with_data(scan.data + air)
    cut, record = _crop(noisy)
    assert not np.any(record.removed) and cut.shape == scan.shape
    padded, _ = _crop(_pad(noisy, [(4, 0), (0, 7), (1, 1)], 0.0))
    np.testing.assert_array_equal(padded.data, noisy.data)


def test_undo_puts_every_voxel_back_where_it_was():
    padded = _pad(_scan(), [(3, 1), (4, 0), (0, 6)], 0.0)
    cut, record = _crop(padded)
    back = undo_crop(cut, record, padded)
    np.testing.assert_array_equal(back.data, padded.data)
    np.testing.assert_array_equal(back.affine, padded.affine)
    start = [part.start for part in record.box]
    np.testing.assert_allclose(
        apply_affine(cut.affine, np.array([2.0, 5.0, 1.0])),
        apply_affine(padded.affine, np.array([2.0, 5.0, 1.0]) + start),
    )
    outside = undo_crop(cut.with_data(np.zeros_like(cut.data)), record, padded, fill=1.0)
    assert outside.data[0, 0, 0] == 1.0
    assert outside.data.sum() == padded.data.size - cut.data.size


def test_what_a_given_mask_marks_is_kept():
    padded = _pad(_scan(), [(5, 5)] * 3, 0.0)
    given_mask = np.zeros(padded.shape, dtype=bool)
    given_mask[2, 10, 10] = True
    _, record = crop_to_content(padded, find_usual_range(padded.data), given_mask)
    assert record.removed[0][0] == 2
    assert record.removed[1:] == _crop(padded)[1].removed[1:]


def test_repaired_voxels_in_the_padding_do_not_keep_it():
    padded = _pad(_scan(), [(5, 5)] * 3, 0.0)
    spikes = np.random.default_rng(4).random(padded.shape) < 0.01
    spoilt = padded.with_data(np.where(spikes, 3.0, padded.data).astype(np.float32))
    usual = find_usual_range(padded.data)
    assert not np.any(crop_to_content(spoilt, usual)[1].removed)
    assert crop_to_content(spoilt, usual, but=spikes)[1] == _crop(padded)[1]


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 9), (12, 12, 12)])
def test_image_without_content_stays_whole(shape):
    empty = Volume(np.full(shape, 7.0, dtype=np.float32), np.eye(4))
    cut, record = _crop(empty)
    assert not np.any(record.removed)
    np.testing.assert_array_equal(cut.data, empty.data)


OBLIQUE = np.array(
    [[0.19, 0.03, 0.2, -30], [-0.02, 0.2, 0.5, -40], [0.01, -0.02, 1.4, -20], [0, 0, 0, 1.0]]
)


@pytest.fixture
def ramp(monkeypatch: pytest.MonkeyPatch) -> Volume:
    """(41, 38, 20): the x coordinate in mm plus 100, on an oblique grid of .19 x .2 x 1.5 mm."""
    monkeypatch.setattr(crop, "MOST_VOXELS", 9_000)
    places = apply_affine(OBLIQUE, np.argwhere(np.ones((41, 38, 20))).astype(float))
    return Volume((places[:, 0] + 100).reshape(41, 38, 20).astype(np.float32), OBLIQUE)


def test_values_stay_where_they_are_in_mm(ramp: Volume):
    coarse = coarsen(ramp)
    assert coarse.shape == (21, 19, 20)
    assert coarse.data.dtype == np.float32
    places = apply_affine(coarse.affine, np.argwhere(np.ones(coarse.shape)).astype(float))
    inside = coarse.data[:20]  # the last plane was averaged with itself
    expected = (places[:, 0] + 100).reshape(coarse.shape)[:20]
    np.testing.assert_allclose(inside, expected, atol=1e-3)


def test_the_finest_axis_goes_first_and_none_beyond_1_mm(
    ramp: Volume, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(crop, "MOST_VOXELS", 20_000)
    assert coarsen(ramp).shape == (21, 38, 20)
    monkeypatch.setattr(crop, "MOST_VOXELS", 10)
    spacing = coarsen(ramp).spacing_mm
    np.testing.assert_allclose(spacing, ramp.spacing_mm * (4, 4, 1))


def test_ordinary_scans_are_not_touched(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(crop, "MOST_VOXELS", 10)
    scan = Volume(np.zeros((9, 9, 9), dtype=np.float32), np.diag([0.51, 0.51, 0.51, 1]))
    assert coarsen(scan) is scan
    mask = scan.with_data(scan.data > 0)
    record = BiasField(scan, 0.0)
    assert refine(mask, record, scan) == (mask, record)


def test_mask_and_field_come_back_onto_the_fine_grid(ramp: Volume):
    coarse = coarsen(ramp)
    mask = coarse.with_data(np.zeros(coarse.shape, dtype=bool))
    mask.data[5:15, 4:12, 3:17] = True
    fine_mask, record = refine(mask, BiasField(coarse, 3.0), ramp)
    assert np.array_equal(fine_mask.affine, ramp.affine)
    expected = np.zeros(ramp.shape, dtype=bool)
    expected[10:30, 8:24, 3:17] = True
    assert np.array_equal(fine_mask.data, expected)
    assert record is not None
    assert record.offset == 3.0
    assert record.field.data.min() > 0
    np.testing.assert_allclose(record.field.data[2:38, 2:36], ramp.data[2:38, 2:36], atol=1e-3)


def test_no_field_stays_none(ramp: Volume):
    coarse = coarsen(ramp)
    assert refine(coarse.with_data(coarse.data > 0), None, ramp)[1] is None
