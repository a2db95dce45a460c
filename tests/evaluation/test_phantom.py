"""The phantom: same seed same voxels, the lesion where and as large as it says, an oblique grid."""

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.errors import ConfigError
from anatomaly.evaluation.phantom import ACQUISITIONS, make_phantom
from anatomaly.types import SEQUENCES


@pytest.fixture(name="phantoms", scope="module")
def fixture_phantoms() -> dict:
    return {name: make_phantom(name, seed=3, coarseness=2.0) for name in SEQUENCES}


def test_same_arguments_same_voxels_other_seed_other_patient(phantoms):
    again = make_phantom("FLAIR", seed=3, coarseness=2.0)
    other = make_phantom("FLAIR", seed=4, coarseness=2.0)
    first = phantoms["FLAIR"]
    np.testing.assert_array_equal(again.scan.data, first.scan.data)
    np.testing.assert_array_equal(again.lesion_mask.data, first.lesion_mask.data)
    np.testing.assert_array_equal(again.scan.affine, first.scan.affine)
    assert np.linalg.norm(np.subtract(other.lesion_centre_mm, first.lesion_centre_mm)) > 1
    assert not np.allclose(other.scan.affine, first.scan.affine)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_grid_is_oblique_anisotropic_and_off_zero(phantoms, sequence):
    scan = phantoms[sequence].scan
    np.testing.assert_allclose(scan.spacing_mm, 2 * np.array(ACQUISITIONS[sequence].spacing_mm))
    assert len(set(scan.shape)) == 3
    assert np.abs(scan.affine[:3, 3]).min() > 1
    assert np.count_nonzero(np.abs(scan.affine[:3, :3]) > 1e-3) == 9  # no axis is straight
    assert scan.data.dtype == np.float32
    assert np.isfinite(scan.data).all()
    assert scan.data.min() >= 0


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_planted_lesion_is_one_piece_of_the_stated_volume_at_the_stated_place(phantoms, sequence):
    phantom = phantoms[sequence]
    mask, affine = phantom.lesion_mask.data, phantom.lesion_mask.affine
    _, count = ndimage.label(mask, np.ones((3, 3, 3)))
    assert count == 1
    assert 4000 <= phantom.lesion_volume_mm3 <= 12000
    assert phantom.lesion_volume_mm3 == pytest.approx(
        mask.sum() * abs(np.linalg.det(affine[:3, :3])), rel=1e-6
    )
    world = np.mean([affine @ (*voxel, 1) for voxel in np.argwhere(mask)], axis=0)[:3]
    np.testing.assert_allclose(phantom.lesion_centre_mm, world, atol=1e-6)


def test_asked_for_volume_is_planted():
    for volume_ml in (1.0, 15.0):
        phantom = make_phantom("T1w", seed=1, lesion_ml=volume_ml, coarseness=2.0)
        # to a few voxels of 9.6 mm3: several can pass the level at once
        assert phantom.lesion_volume_mm3 == pytest.approx(1000 * volume_ml, abs=40)


@pytest.mark.parametrize(("sequence", "sign"), [("T1w", -1), ("T2w", 1), ("FLAIR", 1)])
def test_scan_differs_from_healthy_at_the_lesion_alone(phantoms, sequence, sign):
    phantom = phantoms[sequence]
    change = phantom.scan.data - phantom.healthy.data
    core = phantom.lesion_mask.data
    assert sign * np.median(change[core]) > 80  # a tenth of the brightest tissue, at least
    far = ~ndimage.binary_dilation(core, np.ones((3, 3, 3)), iterations=6)
    assert not change[far].any()
    assert phantom.brain_mask.data[core].all()


def test_brain_is_of_human_size_and_has_the_contrast_of_its_sequence(phantoms):
    for phantom in phantoms.values():
        volume_ml = phantom.brain_mask.data.sum() * phantom.scan.voxel_volume_mm3 / 1000
        assert 1100 < volume_ml < 2100

    def inside(sequence):
        healthy = phantoms[sequence].healthy.data[phantoms[sequence].brain_mask.data]
        return np.percentile(healthy, (2, 50, 98))

    for sequence in ("T1w", "FLAIR"):  # CSF is by far the darkest
        low, middle, _ = inside(sequence)
        assert low < 0.6 * middle
    _, middle, high = inside("T2w")  # CSF is by far the brightest
    assert high > 1.5 * middle


def test_without_skull_the_background_is_zero():
    phantom = make_phantom("T2w", seed=2, with_skull=False, coarseness=3.0)
    np.testing.assert_array_equal(phantom.scan.data > 0, phantom.brain_mask.data)


@pytest.mark.parametrize(
    "arguments",
    [
        {"sequence": "PD"},
        {"sequence": "T1w", "seed": -1},
        {"sequence": "T1w", "lesion_ml": 400.0},
        {"sequence": "T1w", "noise": 2.0},
        {"sequence": "T1w", "coarseness": 0.0},
    ],
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ConfigError, match="must"):
        make_phantom(**arguments)
