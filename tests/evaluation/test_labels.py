"""Labels of the real cases, and grids said in words. What is refused: see datasets/test_check."""

import nibabel as nib
import numpy as np

from anatomaly.evaluation.cases import Case, list_cases
from anatomaly.evaluation.labels import grid_difference, read_label

OBLIQUE = np.array(
    [[0.8, -0.6, 0.0, 5.0], [0.6, 0.8, 0.0, -7.0], [0.0, 0.0, 2.0, 3.0], [0.0, 0.0, 0.0, 1.0]]
)


def test_grids_by_their_corners():
    shape = (7, 6, 5)
    assert grid_difference((shape, OBLIQUE), (shape, OBLIQUE + 1e-4)) == ""
    turned = OBLIQUE.copy()
    turned[:, 2] *= -1
    turned[:3, 3] += 4 * OBLIQUE[:3, 2]  # the same slab, upside down
    assert "8.0 mm apart" in grid_difference((shape, turned), (shape, OBLIQUE))
    wider = OBLIQUE @ np.diag([1.0, 1.0, 1.1, 1.0])  # the first voxel stays where it is
    assert "0.8 mm apart" in grid_difference((shape, wider), (shape, OBLIQUE))
    assert "shape (7×5×6, not 7×6×5)" in grid_difference(((7, 5, 6), OBLIQUE), (shape, OBLIQUE))


def test_open_voxels_are_no_lesion_where_all_above_zero_is(tmp_path):
    values = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
    path = tmp_path / "both.nii.gz"
    nib.save(nib.Nifti1Image(values, OBLIQUE), path)
    label = read_label(Case("p", "MS", "T1w", path, path, "drawn", open_values=(2, 5)))
    assert label.lesion.data.ravel().tolist() == [0, 1, 0, 1, 1, 0, 1, 1]
    assert label.open.ravel().tolist() == [0, 0, 1, 0, 0, 1, 0, 0]


def test_labels_of_every_real_case_fit_their_scans(data_folder):
    cases = list_cases(data_folder / "cases")
    assert len(cases) >= 15
    for label_path in {case.label for case in cases}:
        case = next(c for c in cases if c.label == label_path)
        label = read_label(case)
        assert label.lesion.shape == nib.load(case.scan).shape
        assert (label.lesion.data == (np.asarray(nib.load(label_path).dataobj) > 0.5)).all()
        assert label.lesion.data.any() and not label.open.any()
