"""Figures of ablations against cases whose answer is known."""

import math

import numpy as np
import pytest

from anatomaly.evaluation.ablation import copied_share, show_lesion, tissue_share


@pytest.fixture(name="scan")
def fixture_scan():
    rng = np.random.default_rng(0)
    healthy = rng.uniform(0.2, 0.8, (30, 31, 32))
    lesion = np.zeros(healthy.shape, dtype=bool)
    lesion[5:15, 6:16, 7:17] = True
    seen = healthy + 0.3 * lesion + rng.normal(0, 0.03, healthy.shape)
    return healthy, seen, lesion


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_copied_share_is_what_was_mixed_in(scan, share):
    healthy, seen, lesion = scan
    rebuilt = share * seen + (1 - share) * healthy
    for where in (lesion, ~lesion):
        assert copied_share(rebuilt, seen, healthy, where) == pytest.approx(share, abs=1e-9)


def test_an_error_that_is_not_the_lesions_is_not_copied(scan):
    healthy, seen, lesion = scan
    rebuilt = healthy + np.random.default_rng(1).normal(0, 0.1, healthy.shape)
    # 1000 voxels: the error of the slope is .1 / (.3 · √1000) = .01
    assert abs(copied_share(rebuilt, seen, healthy, lesion)) < 0.04


def test_a_rebuilt_image_that_is_too_bright_copies_nothing_if_centred(scan):
    healthy, seen, lesion = scan
    seen = seen + 0.01
    shares = [
        copied_share(healthy + 0.1, seen, healthy, ~lesion, centred=centred)
        for centred in (True, False)
    ]
    assert shares[0] == pytest.approx(0, abs=1e-9)
    assert shares[1] > 0.5


def test_nothing_to_copy_has_no_share(scan):
    healthy, _, lesion = scan
    assert math.isnan(copied_share(healthy, healthy, healthy, lesion))
    assert math.isnan(tissue_share(lesion, lesion, np.zeros_like(lesion)))


def test_tissue_share_counts_only_inside():
    truth = np.array([1, 2, 3, 3, 3], np.uint8)
    found = np.array([2, 2, 3, 1, 1], np.uint8)
    where = np.array([True, True, True, True, False])
    assert tissue_share(found, truth, where) == 0.5


def test_a_shown_lesion_has_no_voxel_right_and_changes_nothing_else():
    rng = np.random.default_rng(2)
    tissue = rng.choice(np.array([0, 1, 2, 3], np.uint8), (20, 20, 20), p=[0.2, 0.1, 0.3, 0.4])
    tissue[:10][tissue[:10] == 1] = 3
    lesion = np.zeros(tissue.shape, dtype=bool)
    lesion[2:8, 2:8, 2:8] = True
    shown = show_lesion(tissue, lesion)
    assert tissue_share(shown, tissue, lesion & (tissue > 0)) == 0
    assert np.array_equal(shown[~lesion], tissue[~lesion])
    assert np.array_equal(shown == 0, tissue == 0)
