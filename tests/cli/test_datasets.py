"""`anatomaly datasets`."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from anatomaly.evaluation.datasets.catalogue import DATASETS


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    """Five MSLUB patients without T2w."""
    rng = np.random.default_rng(0)
    lesion = np.zeros((6, 6, 6), np.int16)
    lesion[2:4, 2:4, 2:4] = 1
    for number in range(1, 6):
        patient = tmp_path / "data" / f"patient{number:02d}"
        patient.mkdir(parents=True)
        for end in ("T1W", "FLAIR"):
            scan = nib.Nifti1Image(rng.integers(1, 99, (6, 6, 6)).astype(np.int16), np.eye(4))
            nib.save(scan, patient / f"{end}.nii.gz")
        nib.save(nib.Nifti1Image(lesion, np.eye(4)), patient / "consensus_gt.nii.gz")
    return tmp_path / "data"


def test_list(run):
    result = run("datasets")
    assert result.exit_code == 0, result.output
    for dataset in DATASETS.values():
        assert dataset.name in result.stdout
    assert "CC BY-NC 4.0" in result.stdout and "https://doi.org/10.34894/AECRSD" in result.stdout


def test_check_says_what_is_there_and_what_is_missing(run, folder):
    result = run("datasets", "check", "mslub", folder)
    assert result.exit_code == 0, result.output
    assert "5 T1w, 5 FLAIR" in result.stdout
    assert "no T2w" in result.stdout and "patient01, patient02, patient03, …" in result.stdout
    assert "Looks wrong" not in result.stdout
    assert "patient05" in run("datasets", "check", "mslub", folder, "--all").stdout


def test_the_median_of_an_even_number_lies_between_the_middle_two(run, folder):
    """Voxels of 1 mL."""
    affine = np.diag([10.0, 10, 10, 1])
    for file in folder.rglob("*.nii.gz"):
        nib.save(nib.Nifti1Image(np.asarray(nib.load(file).dataobj), affine), file)
    for number in (3, 4, 5):
        shutil.rmtree(folder / f"patient{number:02d}")
    lesion = np.zeros((6, 6, 6), np.int16)
    lesion[2:5, 2:4, 2:4] = 1
    nib.save(nib.Nifti1Image(lesion, affine), folder / "patient01" / "consensus_gt.nii.gz")
    assert "8.0 to 12.0 mL, median 10.0 mL" in run("datasets", "check", "mslub", folder).stdout


def test_check_fails_where_something_looks_wrong(run, folder):
    path = folder / "patient02" / "consensus_gt.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((6, 6, 6), np.int16), np.eye(4)), path)
    result = run("datasets", "check", "mslub", folder)
    assert result.exit_code == 1
    assert "Looks wrong" in result.stdout and "label holds no lesion" in result.stdout
    assert run("datasets", "check", "mslub", folder, "--quick").exit_code == 0


def test_wrong_names_and_empty_folders(run, folder, tmp_path):
    wrong = run("datasets", "check", "bratz", folder)
    assert wrong.exit_code == 1 and "there are brats-gli" in wrong.stderr
    empty = run("datasets", "check", "wmh", folder)
    assert empty.exit_code == 1 and "nothing of WMH" in empty.stderr
    assert run("datasets", "check", "wmh", tmp_path / "nowhere").exit_code == 2
