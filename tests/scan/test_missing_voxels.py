"""NaN and Inf: around the head they are background, inside it they are missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.errors import ScanError
from anatomaly.scan.missing_voxels import enclosed_voxels
from anatomaly.scan.read import read_scan

Save = Callable[..., Path]


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
