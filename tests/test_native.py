from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.errors import GeometryError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, apply_affine
from anatomaly.native import brain_mask_native, pseudo_healthy_to_native, to_native
from anatomaly.preprocess.bias_field import BiasField
from anatomaly.preprocess.brain_extraction import BrainExtraction
from anatomaly.preprocess.normalise import normalise_intensity
from anatomaly.preprocess.quality import Fit
from anatomaly.preprocess.register import Registration
from anatomaly.preprocess.reorient import reorient
from anatomaly.preprocess.resample import empty_grid, resample_to_template
from anatomaly.preprocess.trace import Trace
from anatomaly.volume import Scan, Volume

WORLD = np.array([[1.05, 0.1, 0, 4], [-0.08, 0.93, 0.12, -7], [0.02, -0.1, 1.1, 6], [0, 0, 0, 1.0]])
SHAPE = (83, 101, 67)


def _scan():
    """A textured ellipsoid, axes left-posterior-superior, tilted, 2 x 1.8 x 2.5 mm."""
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    affine = turn @ np.diag([-2.0, -1.8, 2.5, 1.0])
    affine[:3, 3] -= affine[:3, :3] @ (np.array(SHAPE) / 2) + (0, 14, -4)
    middle = (np.array(SHAPE) - 1) / 2
    away = np.stack(np.indices(SHAPE), axis=-1) - middle
    radius = np.linalg.norm(away * (2.0, 1.8, 2.5) / (55, 68, 52), axis=-1)
    places = apply_affine(affine, away + middle)
    texture = 500 + 120 * np.sin(places[..., 0] / 15) + 100 * np.cos(places[..., 1] / 18)
    data = np.where(radius < 1.3, texture, 3.0).astype(np.float32)
    return Scan(Volume(data, affine), "phantom"), Volume(radius < 1, affine)


@pytest.fixture(scope="module")
def traced():
    """A scan, its trace made by hand (no registration), and its image on the working grid."""
    scan, mask = _scan()
    turned, reorientation = reorient(scan.volume)
    mask_ras, _ = reorient(mask)
    field = np.exp(0.3 * np.linspace(-1, 1, turned.shape[0]))[:, None, None]
    field = np.broadcast_to(field, turned.shape).astype(np.float32)
    corrected = turned.with_data(turned.data / field)
    resampled = resample_to_template(corrected, WORLD)
    weight = resample_to_template(mask_ras.with_data(mask_ras.data.astype(np.float32)), WORLD)
    mask_template = weight.with_data(weight.data > 0.5)
    image, normalisation = normalise_intensity(resampled, mask_template)
    trace = Trace(
        steps=(),
        scan_grid=empty_grid(scan.volume.shape, scan.volume.affine),
        reorientation=reorientation,
        bias_field=BiasField(turned.with_data(field), 0.0),
        extraction=BrainExtraction("file", 1.0, False),
        brain_mask_ras=mask_ras,
        brain_mask_template=mask_template,
        registration=Registration(WORLD, Fit(1.0, 0.1, 0.0, 0.5, 2.0, 0.0, 1.0)),
        normalisation=normalisation,
    )
    return scan, mask, trace, image


def test_mask_comes_back_voxel_for_voxel(traced):
    scan, mask, trace, _ = traced
    back = brain_mask_native(trace)
    np.testing.assert_array_equal(back.data, mask.data)
    np.testing.assert_array_equal(back.affine, scan.volume.affine)


def test_a_spot_lands_where_the_affines_say(traced):
    scan, _, trace, _ = traced
    spot = np.zeros(TEMPLATE_SHAPE, dtype=np.float32)
    spot[60:75, 95:105, 80:96] = 1
    native = to_native(spot, trace)
    assert native.shape == scan.volume.shape
    np.testing.assert_array_equal(native.affine, scan.volume.affine)
    weights = native.data[native.data > 0]
    centre = np.average(np.argwhere(native.data > 0), axis=0, weights=weights)
    expected = apply_affine(
        np.linalg.inv(WORLD), apply_affine(TEMPLATE_AFFINE, np.array([67.0, 99.5, 87.5]))
    )
    np.testing.assert_allclose(apply_affine(native.affine, centre), expected, atol=0.15)
    volume_mm3 = float(native.data.sum()) * scan.volume.voxel_volume_mm3
    assert volume_mm3 == pytest.approx(15 * 10 * 16 / np.linalg.det(WORLD[:3, :3]), rel=0.03)


def test_labels_come_back_as_labels(traced):
    *_, trace, _ = traced
    labels = np.zeros(TEMPLATE_SHAPE, dtype=np.uint8)
    labels[50:100, 60:130, 60:110] = 3
    native = to_native(labels, trace, order=0)
    assert native.data.dtype == np.uint8
    assert set(np.unique(native.data)) == {0, 3}


def test_pseudo_healthy_equal_to_the_image_returns_the_scan(traced):
    scan, mask, trace, image = traced
    back = pseudo_healthy_to_native(image.data, trace, scan)
    np.testing.assert_array_equal(back.affine, scan.volume.affine)
    np.testing.assert_array_equal(back.data[~mask.data], scan.volume.data[~mask.data])
    core = ndimage.binary_erosion(mask.data, iterations=2)
    difference = np.abs(back.data - scan.volume.data)
    # two linear interpolations of waves of 15 mm, and 1 % of voxels clipped
    assert np.percentile(difference[core], 98) < 12
    assert np.abs(np.mean((back.data - scan.volume.data)[core])) < 2
    # the rim must not darken: it is averaged over brain voxels only
    rim = mask.data & ~core
    assert np.abs(np.mean((back.data - scan.volume.data)[rim])) < 10


def test_wrong_grid_is_refused(traced):
    _, _, trace, _ = traced
    with pytest.raises(GeometryError, match="working grid"):
        to_native(np.zeros((10, 10, 10)), trace)
    other = Scan(Volume(np.zeros((4, 5, 6), dtype=np.float32), np.eye(4)), "other")
    with pytest.raises(GeometryError, match="another scan"):
        pseudo_healthy_to_native(np.zeros(TEMPLATE_SHAPE, dtype=np.float32), trace, other)
