from __future__ import annotations

import numpy as np
import pytest

from anatomaly.geometry import apply_affine
from anatomaly.preprocess.bias_field import correct_bias_field, undo_bias_field
from anatomaly.preprocess.mirrored_field import mirror_bias_field


@pytest.fixture(scope="module")
def scan(make_phantom):
    """A healthy scan in template space, its mask, and where its voxels lie there, mm."""
    volume, mask = make_phantom("T1w")
    index = np.indices(volume.shape).reshape(3, -1).T
    return volume, mask, apply_affine(volume.affine, index).reshape(*volume.shape, 3)


def log_field(scan, mask, mirrored):
    corrected, record = correct_bias_field(scan, mask)
    if mirrored:
        corrected, record = mirror_bias_field(corrected, record, mask, np.eye(4))
    np.testing.assert_allclose(undo_bias_field(corrected, record).data, scan.data, atol=2e-3)
    return np.log(record.field.data)


def test_a_large_lesion_keeps_its_contrast(scan):
    """A ball a third brighter, 50 mm wide, in one hemisphere."""
    healthy, mask, places = scan
    lesion = (np.linalg.norm(places - [35, -20, 15], axis=-1) < 25) & mask.data
    lit = healthy.with_data(np.where(lesion, healthy.data * np.float32(1.35), healthy.data))
    elsewhere = mask.data & ~lesion
    left = {}
    for mirrored in (False, True):
        change = log_field(lit, mask, mirrored) - log_field(healthy, mask, mirrored)
        left[mirrored] = 1 - (change[lesion].mean() - change[elsewhere].mean()) / np.log(1.35)
    assert left[False] < 0.7
    assert left[True] > 0.85


def test_a_coil_on_both_sides_is_corrected(scan):
    """Two elements beside the head, finer than two levels can follow."""
    healthy, mask, places = scan
    away = np.linalg.norm((places * [0, 1, 1] - [0, 20, 10]), axis=-1)
    truth = 0.35 * np.exp(-(away**2) / (2 * 25**2)) * np.abs(np.tanh(places[..., 0] / 30))
    lit = healthy.with_data((healthy.data * np.exp(truth)).astype(np.float32))

    def error(found):
        return float((found - truth)[mask.data].std())

    coarse = np.log(correct_bias_field(lit, mask, 2)[1].field.data)
    own = log_field(healthy, mask, mirrored=True)  # what N4 reads into the tissue itself
    assert error(log_field(lit, mask, mirrored=True) - own) < 0.6 * error(coarse - own)
