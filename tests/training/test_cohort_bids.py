"""What is taken from a BIDS folder, and what is left."""

import json

import pytest

from anatomaly.errors import TrainingError
from anatomaly.training.cohort_bids import find_visits


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_people_sessions_and_sequences(tmp_path):
    touch(
        tmp_path,
        "sub-02/anat/sub-02_T2w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
        "sub-01/ses-b/anat/sub-01_ses-b_FLAIR.nii",
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz",
        "sub-03/anat/sub-03_bold.nii.gz",
        "sub-04/func/sub-04_T1w.nii.gz",
        "derivatives/x/sub-05/anat/sub-05_T1w.nii.gz",
    )
    found = find_visits(tmp_path)
    assert [(v.name, v.person, list(v.scans)) for v in found] == [
        ("sub-01_ses-a", "sub-01", ["T1w"]),
        ("sub-01_ses-b", "sub-01", ["FLAIR"]),
        ("sub-02", "sub-02", ["T1w", "T2w"]),
    ]
    assert found[2].scans["T2w"] == tmp_path / "sub-02/anat/sub-02_T2w.nii.gz"
    assert [v.name for v in find_visits(tmp_path, ("T2w",))] == ["sub-02"]


def test_of_several_scans_the_plain_one_without_contrast_agent(tmp_path):
    touch(
        tmp_path,
        "sub-01/anat/sub-01_run-2_T1w.nii.gz",
        "sub-01/anat/sub-01_run-1_T1w.nii.gz",
        "sub-01/anat/sub-01_ce-gd_T1w.nii.gz",
        "sub-02/anat/sub-02_ce-gd_T1w.nii.gz",
    )
    (visit,) = find_visits(tmp_path)
    assert visit.scans["T1w"].name == "sub-01_run-1_T1w.nii.gz"


def test_segmentations_beside_the_scan_before_derivatives(tmp_path):
    touch(
        tmp_path,
        *(f"sub-0{n}/anat/sub-0{n}_T1w.nii.gz" for n in (1, 2, 3)),
        "sub-01/anat/sub-01_dseg.nii.gz",
        "derivatives/f/sub-01/anat/sub-01_dseg.nii.gz",
        "derivatives/f/sub-02/anat/sub-02_dseg.nii.gz",
        "derivatives/f/sub-02/anat/sub-02_space-MNI152_dseg.nii.gz",
        "derivatives/f/sub-03/anat/sub-03_space-MNI152_dseg.nii.gz",
    )
    first, second, third = find_visits(tmp_path)
    assert first.dseg == tmp_path / "sub-01/anat/sub-01_dseg.nii.gz"
    assert second.dseg == tmp_path / "derivatives/f/sub-02/anat/sub-02_dseg.nii.gz"
    assert third.dseg is None


def test_lesions_and_our_own_results_are_no_tissue(tmp_path):
    touch(
        tmp_path,
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_label-lesion_dseg.nii.gz",
        "derivatives/anatomaly/sub-01/anat/sub-01_seg-tissue_dseg.nii.gz",
        "derivatives/fmriprep/sub-01/anat/sub-01_dseg.nii.gz",
    )
    made_by = {"GeneratedBy": [{"Name": "anatomaly", "Version": "1"}]}
    path = tmp_path / "derivatives/anatomaly/dataset_description.json"
    path.write_text(json.dumps(made_by), encoding="utf-8")
    (visit,) = find_visits(tmp_path)
    assert visit.dseg == tmp_path / "derivatives/fmriprep/sub-01/anat/sub-01_dseg.nii.gz"


def test_a_folder_without_any(tmp_path):
    touch(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz")
    with pytest.raises(TrainingError, match=r"no sub-\*/\[ses-\*/\]anat/ with \*_T1w"):
        find_visits(tmp_path, ("T1w",))
