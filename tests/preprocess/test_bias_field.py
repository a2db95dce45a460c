from __future__ import annotations

import numpy as np
import pytest

from anatomaly.errors import PreparationError
from anatomaly.geometry import apply_affine
from anatomaly.preprocess.bias_field import (
    ROOM_MM,
    correct_bias_field,
    mirror_bias_field,
    room_around,
    undo_bias_field,
)
from anatomaly.volume import Volume


@pytest.fixture(scope="module")
def biased(make_phantom):
    volume, mask = make_phantom("T1w")
    i, j, k = (np.linspace(-1, 1, n) for n in volume.shape)
    log_field = 0.6 * i[:, None, None] - 0.4 * j[None, :, None] ** 2 + 0.3 * k[None, None, :]
    return volume, mask, volume.with_data((volume.data * np.exp(log_field)).astype(np.float32))


def _variation(found, truth, mask):
    """Coefficient of variation of found/truth inside the mask: 0 when they agree up to scale."""
    ratio = found[mask] / truth[mask]
    return float(ratio.std() / ratio.mean())


def _simpleitk(volume, mask):
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.GetImageFromArray(volume.data.T)
    image.SetSpacing([float(x) for x in volume.spacing_mm])
    inside = sitk.GetImageFromArray(mask.data.T.astype(np.uint8))
    inside.CopyInformation(image)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([20, 20, 20])
    n4.Execute(sitk.Shrink(image, [4] * 3), sitk.Shrink(inside, [4] * 3))
    return np.exp(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image)).T)


def test_field_is_found_as_well_as_by_simpleitk(biased):
    clean, mask, scan = biased
    corrected, record = correct_bias_field(scan, mask)
    before = _variation(scan.data, clean.data, mask.data)
    ours = _variation(corrected.data, clean.data, mask.data)
    theirs = _variation(scan.data / _simpleitk(scan, mask), clean.data, mask.data)
    assert before > 0.2
    assert ours < 0.25 * before
    assert ours < theirs + 0.02
    assert record.offset == 0
    assert np.log(record.field.data[mask.data]).mean() == pytest.approx(0, abs=1e-4)


def test_undo_restores_the_scan(biased):
    _, mask, scan = biased
    back = undo_bias_field(*correct_bias_field(scan, mask))
    np.testing.assert_allclose(back.data, scan.data, atol=1e-3)


def test_z_scored_scan_is_corrected_above_its_background(biased):
    clean, mask, scan = biased
    inside = scan.data[mask.data]
    shifted = scan.with_data((scan.data - inside.mean()) / inside.std())
    corrected, record = correct_bias_field(shifted, mask)
    assert record.offset == pytest.approx(-inside.mean() / inside.std(), rel=1e-3)
    np.testing.assert_allclose(undo_bias_field(corrected, record).data, shifted.data, atol=1e-4)
    found = _variation(corrected.data - record.offset, clean.data, mask.data)
    assert found < 0.25 * _variation(scan.data, clean.data, mask.data)


def test_only_a_brain_alone_is_given_room(biased):
    clean, mask, _ = biased
    assert room_around(clean, mask) == ROOM_MM
    air = np.abs(np.random.default_rng(4).normal(0, 40, clean.shape)).astype(np.float32)
    head = clean.with_data(np.where(mask.data, clean.data, 60 + air))
    assert room_around(head, mask) == 0
    ringing = np.random.default_rng(5).normal(0, 0.3, clean.shape).astype(np.float32)
    assert room_around(clean.with_data(clean.data + ringing), mask) == ROOM_MM  # of a spline
    shifted = clean.with_data(np.where(mask.data, clean.data / 100, -3.5).astype(np.float32))
    assert room_around(shifted, mask) == ROOM_MM


def test_room_is_what_empty_voxels_around_the_scan_would_be(biased):
    _, mask, scan = biased
    widths = [(int(np.ceil(ROOM_MM / step)),) * 2 for step in scan.spacing_mm]
    affine = scan.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [a for a, _ in widths]
    padded, padded_mask = (Volume(np.pad(one.data, widths), affine) for one in (scan, mask))
    there = correct_bias_field(padded, padded_mask)[1].field.data
    corrected, record = correct_bias_field(scan, mask, room_mm=ROOM_MM)
    inner = tuple(slice(a, n - b) for (a, b), n in zip(widths, there.shape, strict=True))
    np.testing.assert_array_equal(record.field.data, there[inner])
    assert np.abs(record.field.data - correct_bias_field(scan, mask)[1].field.data).max() > 0.01
    mirrored = mirror_bias_field(corrected, record, mask, np.eye(4))[1]
    assert record.room_mm == mirrored.room_mm == ROOM_MM


def test_empty_mask_is_refused(biased):
    _, mask, scan = biased
    with pytest.raises(PreparationError, match="no voxel"):
        correct_bias_field(scan, mask.with_data(np.zeros(mask.shape, dtype=bool)))


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
