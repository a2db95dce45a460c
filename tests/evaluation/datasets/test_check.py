"""What a check notices, on folders with one fault each, and on the real cases."""

import gzip
import shutil

import nibabel as nib
import numpy as np
import pytest

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.datasets.catalogue import find_cases
from anatomaly.evaluation.datasets.check import check_dataset
from anatomaly.evaluation.labels import read_label


def patient(name, **changed):
    kinds = {"T1W": "scan", "T2W": "scan", "FLAIR": "scan", "consensus_gt": "lesion"} | changed
    return {f"{name}/{end}.nii.gz": kind for end, kind in kinds.items()}


def problems(report):
    return [(p.kind, p.what, p.where) for p in report.problems]


def test_a_sound_folder(write):
    told = []
    folder = write(patient("patient01") | patient("patient02"))
    report = check_dataset("mslub", folder, progress=told.append)
    assert report.is_sound and report.problems == ()
    assert (report.people, report.patients, report.labelled, report.healthy) == (2, 2, 2, 0)
    assert report.scans == {"T1w": 2, "T2w": 2, "FLAIR": 2}
    assert report.lesion_ml == {"patient01": 0.016, "patient02": 0.016}  # 8 voxels of 2 mm³
    assert told == ["patient01", "patient02"]


def test_grids_that_differ(write):
    moved = np.diag([1.0, 1.0, 2.0, 1.0])
    moved[0, 3] = 3.0
    folder = write(patient("patient01", T2W=("scan", moved)))
    report = check_dataset("mslub", folder)
    ((kind, what, where),) = problems(report)
    assert (kind, what) == ("wrong", "label is on another grid than T2w")
    assert where == "patient01: another position (corners up to 3.0 mm apart)"
    assert not report.is_sound
    nib.save(nib.Nifti1Image(np.ones((6, 7, 4), np.int16), moved), folder / "patient01/T2W.nii.gz")
    assert "6×7×5, not 6×7×4" in problems(check_dataset("mslub", folder))[0][2]
    bad = next(c for c in find_cases("mslub", folder).cases if c.sequence == "T2w")
    with pytest.raises(EvaluationError, match="another shape"):
        read_label(bad)


def test_headers_may_round(write):
    almost = np.diag([1.0, 1.0, 2.00001, 1.0])
    report = check_dataset("mslub", write(patient("patient01", consensus_gt=("lesion", almost))))
    assert report.is_sound


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda mask: mask * 0, "label holds no lesion"),
        (lambda mask: np.roll(mask, -2, axis=0), "label lies where the scan is 0"),
        (lambda mask: mask * 0 + 1, "label covers more than a quarter of the scan"),
        (lambda mask: mask * 0.5, "label holds other than whole numbers"),
    ],
)
def test_masks_that_do_not_fit(write, change, what):
    folder = write(patient("patient01"))
    path = folder / "patient01/consensus_gt.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(change(image.get_fdata(dtype=np.float32)), image.affine), path)
    found = problems(check_dataset("mslub", folder))
    assert ("wrong", what, "patient01") in found
    assert problems(check_dataset("mslub", folder, voxels=False)) == []


def test_values_that_the_provider_does_not_name(write):
    files = {"orig/T1": "scan", "orig/FLAIR": "scan", "wmh": "other"}
    folder = write({f"training/Utrecht/0/{name}.nii.gz": kind for name, kind in files.items()})
    assert check_dataset("wmh", folder).is_sound
    path = folder / "training/Utrecht/0/wmh.nii.gz"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj) * 3, image.affine), path)
    told = {what for _, what, _ in problems(check_dataset("wmh", folder))}
    assert "label holds values that the provider does not name" in told


def test_doubled_scans(write):
    folder = write(patient("patient01") | patient("patient02") | patient("patient03"))
    shutil.copy(folder / "patient01/FLAIR.nii.gz", folder / "patient03/T2W.nii.gz")
    for voxels in (True, False):
        assert problems(check_dataset("mslub", folder, voxels=voxels)) == [
            ("wrong", "two scans are the same file", "patient01 FLAIR and patient03 T2w")
        ]


def test_files_that_end_early(write):
    folder = write(patient("patient01") | patient("patient02"))
    label = folder / "patient01/consensus_gt.nii.gz"
    with gzip.open(label) as file:
        content = file.read()
    label.write_bytes(gzip.compress(content[:-40]))
    (folder / "patient02/FLAIR.nii.gz").write_bytes(b"not an image")
    found = problems(check_dataset("mslub", folder))
    assert ("wrong", "file is damaged", str(label)) in found
    assert ("wrong", "scan cannot be read", "patient02 FLAIR") in found
    assert len(found) == 2


def test_healthy_people_have_nothing_to_check_but_their_scans(write):
    folder = write({"IXI002-Guys-0828-T1.nii.gz": "scan"})
    report = check_dataset("ixi", folder)
    assert report.is_sound and report.healthy == 1 and report.lesion_ml == {}
    label = read_label(find_cases("ixi", folder).cases[0])
    assert not label.lesion.data.any() and label.lesion.shape == (6, 7, 5)


def test_real_cases_under_the_names_of_mslub(data_folder, tmp_path):
    """The two real patients, linked under the provider's names; volumes of the data's README."""
    for number in (19, 26):
        source = data_folder / "cases" / f"mslub_patient{number}"
        target = tmp_path / f"patient{number}"
        target.mkdir()
        for theirs, ours in (("T1W", "T1w"), ("T2W", "T2w"), ("FLAIR", "FLAIR")):
            (target / f"patient{number}_{theirs}.nii.gz").symlink_to(source / f"{ours}.nii.gz")
        (target / f"patient{number}_consensus_gt.nii.gz").symlink_to(source / "lesion.nii.gz")
    report = check_dataset("mslub", tmp_path)
    assert report.problems == ()
    assert report.lesion_ml["patient19"] == pytest.approx(49.8, abs=0.1)
    assert report.lesion_ml["patient26"] == pytest.approx(8.2, abs=0.1)


def test_real_cases_under_the_names_of_brats(data_folder, tmp_path):
    """BraTS 2013 has FLAIR alone here; its grid and labels are those of later years."""
    for number in (1, 3, 5):
        name = f"BraTS-GLI-{number:05d}-000"
        source = data_folder / "cases" / f"brats2013_pat{number:04d}"
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}-t2f.nii.gz").symlink_to(source / "FLAIR.nii.gz")
        (tmp_path / name / f"{name}-seg.nii.gz").symlink_to(source / "tumour_labels.nii.gz")
    report = check_dataset("brats-gli", tmp_path)
    assert {p.what for p in report.problems} == {"no T1w", "no T2w"}
    assert report.scans == {"FLAIR": 3} and report.is_sound
    for case in find_cases("brats-gli", tmp_path).cases:
        label = read_label(case)
        whole = np.asarray(nib.load(case.label).dataobj) > 0.5
        assert (label.lesion.data == whole).all() and whole.any()
        assert report.lesion_ml[case.patient] == pytest.approx(whole.sum() / 1000)
