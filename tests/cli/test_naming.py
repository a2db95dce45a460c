"""Names of result folders."""

from pathlib import Path

import pytest

from anatomaly.cli.naming import result_names
from anatomaly.errors import ConfigError


@pytest.mark.parametrize(
    ("scans", "names"),
    [
        (["a/x.nii.gz", "a/y.nii", "a/z.mgz", "a/dicom"], ["x", "y", "z", "dicom"]),
        (["p/a/x.nii", "p/b/x.nii", "p/a/y.nii"], ["a_x", "b_x", "y"]),
        (["p/anat/x.nii", "q/anat/x.nii"], ["p_anat_x", "q_anat_x"]),
        (["d/x.nii", "d/x.nii.gz"], ["x.nii", "x.nii.gz"]),
        (["d/sub.01.nii.gz"], ["sub.01"]),
    ],
    ids=["endings", "parents", "grandparents", "endings-clash", "dots"],
)
def test_names(scans, names):
    paths = [Path(scan) for scan in scans]
    assert result_names(paths) == names
    assert result_names(paths[::-1]) == names[::-1]


def test_a_new_name_may_not_meet_an_old_one():
    names = result_names([Path("a/x.nii"), Path("b/x.nii"), Path("c/a_x.nii")])
    assert len(set(names)) == 3


def test_same_scan_twice_is_refused():
    with pytest.raises(ConfigError, match="more than once"):
        result_names([Path("a/x.nii"), Path("./a/x.nii")])
