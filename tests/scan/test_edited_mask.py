"""Masks as editors save them: what is taken, and what is refused with what to do."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from anatomaly.errors import ScanError
from anatomaly.scan.edited_mask import find_edit, read_edited_mask
from anatomaly.volume import Volume

SHAPE = (21, 34, 15)
TURN = np.array([[0.98, -0.17, 0.05], [0.17, 0.98, -0.02], [-0.05, 0.03, 1.0]])
AFFINE = np.eye(4)
AFFINE[:3, :3], AFFINE[:3, 3] = TURN @ np.diag([-1.1, 0.9, 3.0]), (12.3, -30.1, 8.0)
DRAWN = np.zeros(SHAPE, np.uint8)
DRAWN[4:9, 10:17, 5:8] = 1
DRAWN[15, 30, 13] = 1
GRID = Volume(np.zeros(SHAPE, np.uint8), AFFINE)


def save(path, data, affine=AFFINE):
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64, np.uint16])
@pytest.mark.parametrize("name", ["mask.nii", "mask.nii.gz"])
def test_any_type_and_either_ending(tmp_path, dtype, name):
    path = save(tmp_path / name, DRAWN.astype(dtype))
    np.testing.assert_array_equal(read_edited_mask(path, GRID).data, DRAWN)


def test_labels_rounded_values_a_fourth_axis_and_a_rounded_affine(tmp_path):
    odd = DRAWN.astype(np.float32) * 0.99998
    odd[4:6] *= 3  # another label
    odd[0, 0, 0] = 0.4
    path = save(tmp_path / "mask.nii.gz", odd[..., None], np.round(AFFINE, 3))
    found = read_edited_mask(path, GRID)
    np.testing.assert_array_equal(found.data, DRAWN)
    assert found.data.dtype == np.uint8
    np.testing.assert_array_equal(found.affine, AFFINE)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SPL", "PIR"])
def test_axes_in_another_order_are_turned_back(tmp_path, axes):
    image = nib.Nifti1Image(DRAWN, AFFINE)
    turned = image.as_reoriented(ornt_transform(io_orientation(AFFINE), axcodes2ornt(axes)))
    nib.save(turned, tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(read_edited_mask(tmp_path / "mask.nii.gz", GRID).data, DRAWN)


def moved(mm):
    affine = AFFINE.copy()
    affine[0, 3] += mm
    return affine


def test_a_shift_of_less_than_half_a_voxel_is_rounding(tmp_path):
    np.testing.assert_array_equal(
        read_edited_mask(save(tmp_path / "m.nii", DRAWN, moved(0.44)), GRID).data, DRAWN
    )
    with pytest.raises(ScanError, match=r"a corner is 0\.46 mm from where .* draw on anomaly_mask"):
        read_edited_mask(save(tmp_path / "m.nii", DRAWN, moved(0.46)), GRID)


def nan(data):
    data[3, 3, 3] = np.nan
    return data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (DRAWN[:, :, :-1], r"another grid, of \(21, 34, 14\) voxels; the scan has \(21, 34, 15\)"),
        (nan(DRAWN.astype(np.float32)), r"1 voxels hold no number .* set them to 0 or 1"),
        (np.stack([DRAWN] * 2, -1), r"has the shape .* save one mask of three axes"),
        (DRAWN.astype(np.complex64), r"holds complex64, no numbers .* as a label image"),
    ],
)
def test_what_is_refused(tmp_path, data, said):
    with pytest.raises(ScanError, match=said):
        read_edited_mask(save(tmp_path / "mask.nii", data), GRID)


def test_empty_and_damaged_files(tmp_path):
    path = tmp_path / "mask.nii.gz"
    path.touch()
    with pytest.raises(ScanError, match=r"is empty \(0 bytes\); save the mask again"):
        read_edited_mask(path, GRID)
    path.write_bytes(b"\x1f\x8b cut")
    with pytest.raises(ScanError, match=r"cannot be read .* save the mask again"):
        read_edited_mask(path, GRID)


def test_which_of_two_files_was_edited(tmp_path):
    stem, before = tmp_path / "anomaly_mask", Volume(7 * DRAWN.astype(np.int32), AFFINE)
    edited = DRAWN.copy()
    edited[15, 30, 13] = 0
    with pytest.raises(ScanError, match="no such mask"):
        find_edit(stem, before)
    save(tmp_path / "anomaly_mask.nii.gz", DRAWN)
    assert find_edit(stem, before) is None
    save(tmp_path / "anomaly_mask.nii", edited)
    np.testing.assert_array_equal(find_edit(stem, before).data, edited)
    save(tmp_path / "anomaly_mask.nii.gz", edited)
    np.testing.assert_array_equal(find_edit(stem, before).data, edited)
    save(tmp_path / "anomaly_mask.nii.gz", 0 * edited)
    with pytest.raises(ScanError, match="both changed, and differ; keep the one"):
        find_edit(stem, before)
