"""sform, qform and voxel sizes that contradict each other: the one that makes a head counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly.scan.read import read_scan
from anatomaly.scan.write import write_volume

Save = Callable[..., Path]
Poke = Callable[..., Path]


def rows(affine: np.ndarray) -> dict[str, np.ndarray]:
    return {"srow_x": affine[0], "srow_y": affine[1], "srow_z": affine[2]}


def grid_of_result(scan, tmp_path: Path) -> nib.Nifti1Image:
    return nib.load(write_volume(tmp_path / "result.nii.gz", scan.volume, scan, np.float32))


@pytest.mark.parametrize("unit", ["mm", "meter"])
def test_sform_of_1_mm_gives_way_to_the_qform(
    save: Save, head: np.ndarray, poke: Poke, oblique: np.ndarray, tmp_path: Path, unit: str
):
    factor = 1000 if unit == "meter" else 1
    scaled = oblique.copy()
    scaled[:3] /= factor
    path = save(head, "scan.nii", affine=scaled, unit=unit)
    flat = np.diag([-1.0, 1, 1, 1])
    flat[:3] /= factor
    scan = read_scan(poke(path, **rows(flat)))
    np.testing.assert_allclose(scan.volume.affine, oblique, atol=1e-4)
    assert scan.metadata["affine_from"] == "qform"
    said = "the sform would make a scan of 40 x 49 x 33 mm, which no head is; the qform is used"
    assert said in scan.warnings
    result = grid_of_result(scan, tmp_path)
    np.testing.assert_allclose(result.affine, scaled, atol=1e-5)
    assert int(result.header["sform_code"]) == 0


def test_sform_far_too_large_gives_way(save: Save, head: np.ndarray, poke: Poke, oblique):
    scan = read_scan(poke(save(head, "scan.nii"), **rows(np.diag([11.0, 11, 11, 1]))))
    np.testing.assert_allclose(scan.volume.affine, oblique, atol=1e-4)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (4, 3.5, 40), (0.01, 0.01, 0.01)])
def test_sound_sform_stays_whatever_the_qform_says(
    save: Save, head: np.ndarray, poke: Poke, oblique: np.ndarray, sizes: tuple[float, ...]
):
    path = poke(save(head, "scan.nii"), pixdim=[-1, *sizes, 0, 0, 0, 0])
    scan = read_scan(path)
    assert np.array_equal(scan.volume.affine, oblique)
    assert any("its sform makes them 4 x 3.5 x 5.25 mm" in w for w in scan.warnings)


def test_both_plausible_leaves_the_sform(save: Save, head: np.ndarray, poke: Poke):
    other = np.diag([5.0, 3.6, 5.5, 1.0])
    scan = read_scan(poke(save(head, "scan.nii"), **rows(other)))
    np.testing.assert_allclose(scan.volume.affine, other, rtol=1e-6)
    assert any("differ by up to" in w and "the sform is used" in w for w in scan.warnings)


def test_sform_of_1_mm_takes_the_voxel_sizes_where_there_is_no_qform(
    save: Save, head: np.ndarray, poke: Poke, tmp_path: Path
):
    flat = np.array([[0, 1, 0, -60], [-1, 0, 0, 80], [0, 0, 1, -90], [0, 0, 0, 1.0]])
    scan = read_scan(poke(save(head, "scan.nii", qform_code=0), **rows(flat)))
    wanted = flat @ np.diag([4.0, 3.5, 5.25, 1])
    np.testing.assert_allclose(scan.volume.affine, wanted, rtol=1e-5)
    assert any("directions are used with the header's voxel sizes" in w for w in scan.warnings)
    np.testing.assert_allclose(grid_of_result(scan, tmp_path).affine, wanted, rtol=1e-5)


@pytest.mark.parametrize("qform_code", [0, 1])
def test_sform_with_code_0_counts_where_nothing_else_makes_a_head(
    save: Save, head: np.ndarray, poke: Poke, oblique: np.ndarray, tmp_path: Path, qform_code: int
):
    path = save(head, "scan.nii", sform_code=0, qform_code=qform_code)
    scan = read_scan(poke(path, pixdim=[-1, 1, 1, 1, 0, 0, 0, 0]))
    assert np.array_equal(scan.volume.affine, oblique)
    assert any("the sform is used, though its code is 0" in w for w in scan.warnings)
    result = grid_of_result(scan, tmp_path)
    assert np.array_equal(result.affine, oblique)
    assert int(result.header["qform_code"]) == 0


def test_voxel_sizes_of_results_agree_with_the_sform(
    save: Save, head: np.ndarray, poke: Poke, tmp_path: Path
):
    path = poke(save(head, "scan.nii", qform_code=0), pixdim=[1, 1, 1, 1, 0, 0, 0, 0])
    result = grid_of_result(read_scan(path), tmp_path)
    np.testing.assert_allclose(result.header.get_zooms(), (4, 3.5, 5.25), rtol=1e-5)


@pytest.mark.parametrize("excess", [3e-7, 5e-7, 3e-6, 1e-3])
def test_quaternion_a_little_too_long_is_shortened(
    save: Save, head: np.ndarray, poke: Poke, tmp_path: Path, excess: float
):
    """A turn by 180 degrees leaves b, c, d alone; stored in 32 bits they may exceed 1."""
    turn = np.array([0.6, 0.48, 0.64])
    rotation = 2 * np.outer(turn, turn) - np.eye(3)
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([4, 3.5, 5.25])
    affine[:3, 3] = (-70, 80, 90)
    path = save(head, "scan.nii", affine=affine, sform_code=0)
    b, c, d = turn * (1 + excess)
    scan = read_scan(
        poke(path, quatern_b=b, quatern_c=c, quatern_d=d, pixdim=[1, 4, 3.5, 5.25, 0, 0, 0, 0])
    )
    np.testing.assert_allclose(scan.volume.affine, affine, atol=1e-4)
    assert bool(scan.warnings) == (excess > 1e-4)
    np.testing.assert_allclose(grid_of_result(scan, tmp_path).affine, affine, atol=1e-4)
