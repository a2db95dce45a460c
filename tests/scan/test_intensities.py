"""Intensities: what is repaired, what is kept, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.ndimage import label, zoom

from anatomaly.errors import ScanError
from anatomaly.scan.intensities import background_value, enclosed_voxels, to_intensities
from anatomaly.scan.read import read_scan

Save = Callable[..., Path]
Check = Callable[[], None]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_few_bad_voxels_are_set_to_zero(save: Save, head: np.ndarray, value: float):
    bad = head.copy()
    bad[20, 20, 10:15] = value
    scan = read_scan(save(bad))
    expected = head.copy()
    expected[20, 20, 10:15] = 0
    assert np.array_equal(scan.volume.data, expected)
    assert any(warning.startswith("5 voxels are NaN or Inf") for warning in scan.warnings)
    assert scan.metadata["intensities"]["repaired_voxels"] == 5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_many_bad_voxels_are_refused(
    save: Save, head: np.ndarray, value: float, nothing_left: Check
):
    bad = head.copy()
    bad[18:21, 14:34, 8:24] = value
    said = r"960 of 64,680 voxels \(1\.5%\).*960 \(1\.5%\) of them inside.*nan_to_num"
    with pytest.raises(ScanError, match=said):
        read_scan(save(bad))
    nothing_left()


@pytest.mark.parametrize(
    ("value", "message"), [(0, "holds only zeros"), (41.5, r"the constant value 41\.5")]
)
def test_images_without_content_are_refused(
    save: Save, head: np.ndarray, value: float, message: str, nothing_left: Check
):
    with pytest.raises(ScanError, match=message + "; export the scan again"):
        read_scan(save(np.full_like(head, value)))
    nothing_left()


def test_z_scored_scan_is_kept_as_it_is(save: Save, head: np.ndarray):
    scored = (head - head.mean()) / head.std()
    scan = read_scan(save(scored))
    assert np.array_equal(scan.volume.data, scored)
    assert any("background is negative" in warning for warning in scan.warnings)
    assert scan.metadata["intensities"]["background"] == pytest.approx(float(scored[0, 0, 0]))


def test_slightly_negative_scan_needs_no_warning(save: Save, head: np.ndarray):
    ringing = head.copy()
    ringing[20, 20, 10] = -12
    assert read_scan(save(ringing)).warnings == ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_intensities_survive_float32(save: Save, head: np.ndarray, dtype: type):
    scan = read_scan(save((head * 1e27).astype(dtype)))
    np.testing.assert_allclose(scan.volume.data, head * np.float32(1e27), rtol=1e-6)
    assert any("intensities reach" in warning for warning in scan.warnings)


def test_intensities_beyond_float32_are_refused(save: Save, head: np.ndarray, nothing_left: Check):
    huge = head.astype(np.float64)
    huge[20, 20, 10] = -1e39
    with pytest.raises(ScanError, match=r"reach 1e\+39, beyond the range of 32-bit.*export"):
        read_scan(save(huge))
    nothing_left()


def test_overflow_by_the_slope_is_seen(head: np.ndarray):
    with pytest.raises(ScanError, match="beyond the range"):
        to_intensities(head, 1e38, 0.0, "x")


def test_64_bit_integers_are_read(head: np.ndarray):
    data = to_intensities(head.astype(np.int64) * 1000, 1.0, 0.0, "x").data
    assert data.dtype == np.float32
    assert np.array_equal(data, head.astype(np.int64) * 1000)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
@pytest.mark.parametrize("labels", [2, 5, 20])
def test_masks_and_label_maps_are_refused(
    save: Save, head: np.ndarray, dtype: type, labels: int, nothing_left: Check
):
    edges = np.quantile(head[head > 0], np.arange(labels - 1) / (labels - 1))
    values = np.digitize(head, edges).astype(dtype)
    assert len(np.unique(values)) == labels
    with pytest.raises(ScanError, match=f"only {labels} distinct values.*mask or label map"):
        read_scan(save(values))
    nothing_left()


def test_probability_like_mask_of_floats_is_refused(save: Save, head: np.ndarray):
    with pytest.raises(ScanError, match="mask or label map"):
        read_scan(save(np.where(head > 0, np.float32(0.37), np.float32(0.0))))


def test_parcellation_with_many_labels_is_refused(head: np.ndarray):
    random = np.random.default_rng(3)
    coarse = random.permutation(8 * 10 * 7).reshape(8, 10, 7) + 1
    patches = np.kron(coarse, np.ones((5, 5, 5), dtype=int))[:40, :49, :33]
    parcels = np.where(head > 0, patches, 0)
    assert len(np.unique(parcels)) > 100
    with pytest.raises(ScanError, match=r"integers in patches.*mask or label map"):
        to_intensities(parcels, 1.0, 0.0, "x")


def test_8_bit_mr_is_no_parcellation(head: np.ndarray):
    smooth = zoom(head, (2, 2, 2), order=1)
    data = np.clip(smooth / 4, 0, 255).astype(np.uint8)
    assert label(data > 0)[1] >= 1
    assert to_intensities(data, 1.0, 0.0, "x").data.max() > 20


def test_ct_is_refused(save: Save, head: np.ndarray, nothing_left: Check):
    random = np.random.default_rng(5)
    ct = np.where(head > 0, random.normal(40, 15, head.shape), random.normal(-1000, 8, head.shape))
    ct[18:22, :3] = 1100
    with pytest.raises(ScanError, match=r"looks like a CT.*only T1w, T2w and FLAIR MR"):
        read_scan(save(ct.astype(np.int16)))
    nothing_left()


def test_negative_mr_is_no_ct(head: np.ndarray):
    data = to_intensities(head * 10 - 1000, 1.0, 0.0, "x").data
    assert data.min() == -1000


def test_background_is_read_from_the_faces(head: np.ndarray):
    assert background_value(head - np.float32(4.5)) == -4.5
    assert background_value(head) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_background_of_nan_is_background(save: Save, head: np.ndarray, value: float):
    stripped = np.where(head > 0, head, value)
    share = np.mean(head == 0)
    assert share > 0.5
    scan = read_scan(save(stripped.astype(np.float32)))
    assert np.array_equal(scan.volume.data, head)
    assert any(f"({share:.0%}) are NaN or Inf; those around the head" in w for w in scan.warnings)
    assert scan.metadata["intensities"]["repaired_voxels"] == np.sum(head == 0)


def test_background_of_a_z_scored_scan_is_its_least_value(save: Save, head: np.ndarray):
    brain = head > 0
    scored = np.where(brain, (head - 300) / 60, np.nan).astype(np.float32)
    data = read_scan(save(scored)).volume.data
    assert np.array_equal(data[brain], scored[brain])
    assert set(data[~brain]) == {np.nanmin(scored)}


def test_field_of_view_that_was_turned_is_no_hole(save: Save, head: np.ndarray):
    """A resampler leaves NaN where the old field of view ends: corners, and parts of the head."""
    turned = ndimage.rotate(head, 25, (0, 1), reshape=False, order=0, cval=np.nan)
    assert np.isnan(turned).mean() > 0.05
    scan = read_scan(save(turned))
    assert np.array_equal(scan.volume.data, np.nan_to_num(turned, nan=0.0))


def test_few_holes_inside_a_background_of_nan_become_0(save: Save, head: np.ndarray):
    stripped = np.where(head > 0, head, np.nan)
    stripped[20, 20:24, 16] = np.nan
    scan = read_scan(save(stripped.astype(np.float32)))
    assert (scan.volume.data[20, 20:24, 16] == 0).all()
    assert any("4 inside it to 0" in w for w in scan.warnings)


@pytest.mark.parametrize(
    "hole", [np.s_[15:25, 15:30, 12:20], np.s_[18:21], np.s_[:, 24], np.s_[:, :, 5:30:2]]
)
def test_holes_and_missing_planes_are_refused(save: Save, head: np.ndarray, hole: object):
    holed = np.where(head > 0, head, np.nan)
    holed[hole] = np.nan
    with pytest.raises(ScanError, match=r"of them inside the head, where at most 1% are repaired"):
        read_scan(save(holed.astype(np.float32)))


def test_nothing_but_nan_is_refused(save: Save, head: np.ndarray):
    with pytest.raises(ScanError, match="every voxel is NaN or Inf; export"):
        read_scan(save(np.full_like(head, np.nan)))


def test_enclosed_voxels_counted_by_hand():
    missing = np.ones((5, 5, 5), dtype=bool)
    missing[1:4, 1:4, 1:4] = False
    assert not enclosed_voxels(missing).any()
    missing[2, 2, 2] = True
    assert np.argwhere(enclosed_voxels(missing)).tolist() == [[2, 2, 2]]
    missing[2, 2, 1] = True  # a tunnel to the outside along k
    assert not enclosed_voxels(missing).any()
    missing[2] = True
    assert enclosed_voxels(missing).sum() == 25
