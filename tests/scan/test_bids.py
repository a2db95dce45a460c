"""What is found in a data set by names alone."""

import pytest

from anatomaly.errors import BidsError
from anatomaly.scan.bids import find_sessions


@pytest.fixture(name="root")
def fixture_root(tmp_path):
    for name in (
        "sub-02/anat/sub-02_FLAIR.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
        "sub-02/anat/sub-02_ce-gd_T1w.nii.gz",
        "sub-02/anat/sub-02_part-phase_T2w.nii.gz",
        "sub-02/anat/sub-02_bold.nii.gz",
        "sub-01/ses-b/anat/sub-01_ses-b_acq-3D_run-2_T1w.nii",
        "sub-01/ses-b/anat/sub-01_ses-b_run-1_T1w.nii.gz",
        "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz",
        "sub-03/func/sub-03_bold.nii.gz",
        "derivatives/x/sub-09/anat/sub-09_T1w.nii.gz",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_sessions_and_scans(root):
    found = find_sessions(root)
    assert {s.name: [scan.name for scan in s.scans] for s in found} == {
        "sub-01_ses-a": ["sub-01_ses-a_T2w"],
        "sub-01_ses-b": ["sub-01_ses-b_run-1_T1w", "sub-01_ses-b_acq-3D_run-2_T1w"],
        "sub-02": ["sub-02_T1w", "sub-02_FLAIR"],
    }
    assert [s.folder.as_posix() for s in found] == ["sub-01/ses-a", "sub-01/ses-b", "sub-02"]


@pytest.mark.parametrize(
    ("people", "visits", "names"),
    [
        (["02"], [], ["sub-02"]),
        (["sub-01"], ["ses-b"], ["sub-01_ses-b"]),
        ([], ["a"], ["sub-01_ses-a"]),
        (["1"], [], []),
        (["03"], [], []),
    ],
)
def test_filters_take_labels_with_and_without_prefix(root, people, visits, names):
    assert [session.name for session in find_sessions(root, people, visits)] == names


def test_a_folder_that_is_no_data_set(tmp_path):
    with pytest.raises(BidsError, match=r"no folder sub-\*"):
        find_sessions(tmp_path)
