from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.preprocess.background import find_usual_range
from anatomaly.preprocess.outliers import repair_outliers
from anatomaly.volume import Volume

SHAPE = (54, 60, 48)
SIZE = int(np.prod(SHAPE))


@pytest.fixture(scope="module")
def head() -> Volume:
    """A smooth head of 100 to 300 with noise, a vessel five times as thin, and air of 0."""
    rng = np.random.default_rng(0)
    places = np.stack(np.indices(SHAPE), -1) / (np.array(SHAPE) - 1) * 2 - 1
    inside = np.linalg.norm(places, axis=-1) < 0.8
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, SHAPE), 4)
    data = 200 + 100 * smooth / np.abs(smooth).max() + rng.normal(0, 5, SHAPE)
    data[25:27, 10:50, 20:22] = 480  # a vessel
    data[30:38, 30:38, 30:38] = 600  # a bright lesion
    data = np.where(inside, data, np.abs(rng.normal(0, 4, SHAPE)))
    return Volume(data.astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0]))


def _repair(volume: Volume):
    return repair_outliers(volume, find_usual_range(volume.data))


def _sprinkle(volume: Volume, share: float, value: float, seed: int = 1):
    rng = np.random.default_rng(seed)
    at = rng.choice(SIZE, max(1, round(share * SIZE)), replace=False)
    data = volume.data.copy()
    data.ravel()[at] = value
    changed = np.zeros(SIZE, dtype=bool)
    changed[at] = True
    return volume.with_data(data), changed.reshape(SHAPE)


def _shifted_and_scaled(volume: Volume) -> Volume:
    return volume.with_data((volume.data - 200) / 50)


@pytest.mark.parametrize("z_scored", [False, True])
def test_scan_without_outliers_is_the_very_same(head, z_scored):
    scan = _shifted_and_scaled(head) if z_scored else head
    found, record = _repair(scan)
    assert found is scan
    assert record.count == 0 and record.warning(SIZE) is None


@pytest.mark.parametrize(
    ("share", "value"),
    [(0.002, 60000), (0.05, 60000), (0.0, 2e6), (0.0005, 1e6), (0.0005, -1e6), (0.01, -800)],
)
@pytest.mark.parametrize("z_scored", [False, True])
def test_spikes_are_replaced_by_what_lies_around_them(head, share, value, z_scored):
    scan = _shifted_and_scaled(head) if z_scored else head
    spoilt, changed = _sprinkle(scan, share, value)
    found, record = _repair(spoilt)
    assert record.replaced_voxels + record.limited_voxels == changed.sum()
    assert record.limited_voxels <= 0.01 * changed.sum()
    np.testing.assert_array_equal(found.data[~changed], scan.data[~changed])
    width = find_usual_range(scan.data).width
    error = np.abs(found.data - scan.data)[changed] / width
    assert np.median(error) < 0.05 and error.max() < 5
    said = record.warning(SIZE)
    assert f"{changed.sum():,} of {SIZE:,} voxels" in said and f"hold {value:.6g}, where" in said


def test_many_moderate_spikes_are_found_few_are_left_alone(head):
    spoilt, changed = _sprinkle(head, 0.003, 1500)
    found, record = _repair(spoilt)
    assert record.replaced_voxels == pytest.approx(changed.sum(), rel=0.05)
    np.testing.assert_array_equal(found.data[~changed], head.data[~changed])
    few, _ = _sprinkle(head, 0.00002, 1200)
    assert _repair(few)[1].count == 0


def test_dead_voxels_are_filled(head):
    inside = ndimage.binary_erosion(head.data > 60, iterations=2)
    spoilt, changed = _sprinkle(head, 0.01, 0)
    found, record = _repair(spoilt)
    dead = changed & inside
    assert record.replaced_voxels > 0.9 * dead.sum()
    filled = found.data[dead] > 60
    assert filled.mean() > 0.9
    np.testing.assert_array_equal(found.data[~changed], head.data[~changed])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_hot_line_is_replaced(head, axis):
    data = head.data.copy()
    line = [27, 30, 24]
    line[axis] = slice(None)
    data[tuple(line)] = 30000
    found, record = _repair(head.with_data(data))
    assert record.replaced_voxels == SHAPE[axis]
    assert np.abs(found.data - head.data)[tuple(line)].max() < 450


def test_cluster_is_limited_and_stays_the_brightest(head):
    data = head.data.copy()
    data[20:26, 20:26, 20:26] = 1e6
    found, record = _repair(head.with_data(data))
    usual = find_usual_range(head.data)
    block = found.data[20:26, 20:26, 20:26]
    assert record.limited_voxels > 150
    assert block[2:4, 2:4, 2:4].min() == pytest.approx(usual.high + 4 * usual.width, rel=0.05)
    assert "in clusters limited" in record.warning(SIZE)


def test_signal_pile_up_six_times_as_bright_is_kept(head):
    centre = np.array([20, 25, 20])
    radius = np.linalg.norm((np.stack(np.indices(SHAPE), -1) - centre) * (1, 1, 2), axis=-1)
    data = head.data + 1000 * np.clip((11 - radius) / 4, 0, 1)
    scan = head.with_data(data.astype(np.float32))
    assert _repair(scan)[0] is scan


@pytest.mark.parametrize("value", [60000, -60000])
def test_padding_of_a_value_far_off_is_no_outlier(head, value):
    padded = np.pad(head.data, 4, constant_values=value)
    scan = Volume(padded, head.affine)
    assert repair_outliers(scan, find_usual_range(padded))[0] is scan


def test_constant_background_far_below_is_no_outlier(head):
    data = np.where(head.data < 20, -1000, head.data).astype(np.float32)
    data[:, :, :8] = 3  # the faces' most frequent value is another one
    scan = head.with_data(data)
    assert _repair(scan)[0] is scan


def test_noise_of_all_heights_in_the_air_is_kept(head):
    noise = np.random.default_rng(3).uniform(0, 400, SHAPE)
    scan = head.with_data(np.where(head.data < 40, noise, head.data).astype(np.float32))
    assert _repair(scan)[0] is scan


def test_constant_image_is_left_alone():
    flat = Volume(np.full((5, 6, 7), 3.0, dtype=np.float32), np.eye(4))
    assert _repair(flat)[0] is flat
