"""Which affine counts, in which unit, and which sizes are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly.errors import GeometryError
from anatomaly.scan.read import read_scan

Save = Callable[..., Path]
Poke = Callable[..., Path]
ZERO = {"srow_x": [0, 0, 0, 0], "srow_y": [0, 0, 0, 0], "srow_z": [0, 0, 0, 0]}


@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 0), (0, 1), (4, 2), (0, 3)])
def test_oblique_affine_is_that_of_nibabel(save: Save, head: np.ndarray, sform: int, qform: int):
    path = save(head, sform_code=sform, qform_code=qform)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.affine, nib.load(path).affine)
    assert not scan.warnings
    assert scan.metadata["affine_from"] == ("sform" if sform else "qform")


def test_rotation_by_90_degrees_is_kept(save: Save, head: np.ndarray):
    turned = np.array(
        [[0.0, 0, 5.25, -80], [-4, 0, 0, 77], [0, -3.5, 0, 60.5], [0, 0, 0, 1]], dtype=np.float64
    )
    scan = read_scan(save(head, affine=turned))
    assert np.array_equal(scan.volume.affine, turned)
    assert scan.metadata["orientation"] == "PIR"
    assert np.array_equal(scan.volume.data, head)


def test_singular_sform_gives_way_to_the_qform(save: Save, head: np.ndarray, poke: Poke):
    path = poke(save(head, "scan.nii"), **ZERO)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.affine, nib.load(path).get_qform())
    assert any("sform is unusable (singular" in w and "qform is used" in w for w in scan.warnings)
    assert int(scan.header["sform_code"]) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"quatern_b": np.nan},
        {"quatern_b": 3.0, "quatern_c": 3.0},
        {"qoffset_x": np.inf},
    ],
)
def test_unusable_qform_gives_way_to_the_sform(
    save: Save, head: np.ndarray, poke: Poke, fields: dict, oblique: np.ndarray
):
    scan = read_scan(poke(save(head, "scan.nii"), **fields))
    assert np.array_equal(scan.volume.affine, oblique)
    assert any("qform is unusable" in w and "sform is used" in w for w in scan.warnings)
    assert int(scan.header["qform_code"]) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**ZERO, "qform_code": 0}, "sform: singular"),
        ({"srow_x": [np.nan, 0, 0, 0], "qform_code": 0}, "sform: contains NaN"),
        ({**ZERO, "quatern_b": np.nan}, "sform: singular.*qform: contains NaN"),
        ({"sform_code": 0, "quatern_b": 5.0}, "qform"),
    ],
)
def test_no_usable_affine_is_refused(
    save: Save,
    head: np.ndarray,
    poke: Poke,
    fields: dict,
    message: str,
    nothing_left: Callable[[], None],
):
    path = poke(save(head, "scan.nii"), **fields)
    with pytest.raises(GeometryError, match=f"no usable affine.*{message}.*convert the scan again"):
        read_scan(path)
    nothing_left()


def test_no_codes_means_position_unknown(save: Save, head: np.ndarray):
    path = save(head, sform_code=0, qform_code=0)
    scan = read_scan(path)
    assert any("holds no position" in warning for warning in scan.warnings)
    assert np.array_equal(scan.volume.affine, nib.load(path).affine)
    assert scan.metadata["affine_from"] == "none"


def test_20_mm_slab_is_refused_and_thick_clinical_slices_pass(
    save: Save, head: np.ndarray, nothing_left: Callable[[], None]
):
    slab = np.diag([4.0, 3.5, 20 / 33, 1.0])
    with pytest.raises(
        GeometryError, match=r"covers 160 x 172 x 20 mm, at least 60 mm.*whole head"
    ):
        read_scan(save(head, affine=slab))
    nothing_left()
    clinical = np.diag([4.0, 3.5, 5.5, 1.0])
    scan = read_scan(save(np.ascontiguousarray(head[..., 4:30]), affine=clinical))
    assert scan.volume.shape[2] * scan.volume.spacing_mm[2] == pytest.approx(143)


@pytest.mark.parametrize("size", [0.001, 0.04, 12.5, 1000.0])
def test_absurd_voxels_are_refused(
    save: Save, head: np.ndarray, size: float, nothing_left: Callable[[], None]
):
    with pytest.raises(GeometryError, match=r"mm, expected 0.05 to 12 mm.*xyzt_units"):
        read_scan(save(head, affine=np.diag([4.0, size, 5.25, 1.0])))
    nothing_left()


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("micron", 0.001)])
def test_other_units_become_mm(
    save: Save, head: np.ndarray, oblique: np.ndarray, unit: str, factor: float
):
    affine = oblique.copy()
    affine[:3] /= factor
    scan = read_scan(save(head, affine=affine, unit=unit))
    np.testing.assert_allclose(scan.volume.affine, oblique, rtol=1e-6, atol=1e-5)
    assert any("converted to mm" in warning for warning in scan.warnings)


def test_a_unit_that_cannot_be_is_not_believed(save: Save, head: np.ndarray, oblique: np.ndarray):
    scan = read_scan(save(head, unit="meter"))
    assert np.array_equal(scan.volume.affine, oblique)
    assert any("claims metres" in w and "read as mm" in w for w in scan.warnings)


@pytest.mark.parametrize("unit", ["mm", "unknown"])
@pytest.mark.parametrize(("factor", "name"), [(1000.0, "metres"), (0.001, "micrometres")])
def test_sizes_that_only_another_unit_explains(
    save: Save, head: np.ndarray, oblique: np.ndarray, unit: str, factor: float, name: str
):
    affine = oblique.copy()
    affine[:3] /= factor
    scan = read_scan(save(head, affine=affine, unit=unit))
    np.testing.assert_allclose(scan.volume.affine, oblique, rtol=1e-6, atol=1e-5)
    assert any("which no scan has; read as " + name in warning for warning in scan.warnings)


def test_fine_voxels_are_read(save: Save):
    """0.1 mm along one axis, as the finest scans of whole heads have."""
    random = np.random.default_rng(2)
    fine = random.normal(300, 60, (20, 1200, 20)).astype(np.float32)
    scan = read_scan(save(fine, affine=np.diag([7.0, 0.1, 7.0, 1.0])))
    assert scan.volume.spacing_mm[1] == pytest.approx(0.1)
    assert scan.warnings == ()


def test_disagreeing_forms_are_told(save: Save, head: np.ndarray, poke: Poke, oblique: np.ndarray):
    path = poke(save(head, "scan.nii"), qoffset_x=oblique[0, 3] + 8)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.affine, oblique)
    assert any("sform and qform differ by up to 8.0 mm" in warning for warning in scan.warnings)


def test_disagreeing_voxel_sizes_are_told(save: Save, head: np.ndarray, poke: Poke):
    path = poke(save(head, "scan.nii", qform_code=0), pixdim=[1, 1, 1, 1, 0, 0, 0, 0])
    warnings = read_scan(path).warnings
    assert any("names voxels of 1 x 1 x 1 mm, its sform makes them 4 x 3.5" in w for w in warnings)
