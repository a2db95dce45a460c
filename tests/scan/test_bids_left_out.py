"""Whatever a selection leaves out is there to be told: path, reason, and whether it is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from anatomaly.scan.bids import select_sessions
from anatomaly.scan.bids_left_out import is_ignored, read_ignored

ANNEX = "../../.git/annex/objects/3f/v2/MD5E-s5--8a.nii.gz/MD5E-s5--8a.nii.gz"


def data_set(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def told(root: Path) -> dict[str, str]:
    return {
        left.path.relative_to(root).as_posix(): left.reason
        for left in select_sessions(root).left_out
    }


def taken(root: Path) -> list[str]:
    found = select_sessions(root).sessions
    return [scan.path.name for session in found for scan in session.scans]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sub-01_ce-gad_T1w.nii.gz", "contrast agent"),
        ("sub-01_part-phase_T1w.nii.gz", "no magnitude image"),
        ("sub-01_t1w.nii.gz", "BIDS writes T1w; rename"),
        ("sub-01_Flair.nii", "BIDS writes FLAIR; rename"),
        ("sub-01_T2w.NII.GZ", "ending in capital letters"),
        ("sub-01_inv-1_MP2RAGE.nii.gz", "another kind of image .suffix MP2RAGE."),
        ("sub-01_run-1.nii.gz", "suffix missing"),
        ("sub-01_acq-cspine_T2w.nii.gz", "of the spine"),
        ("T1w.nii.gz", "without sub-"),
    ],
)
def test_an_image_of_anat_that_is_not_taken_is_told(tmp_path: Path, name: str, reason: str):
    root = data_set(tmp_path, "sub-01/anat/sub-01_FLAIR.nii.gz", f"sub-01/anat/{name}")
    assert taken(root) == ["sub-01_FLAIR.nii.gz"]
    ((path, why),) = told(root).items()
    assert path == f"sub-01/anat/{name}"
    import re

    assert re.search(reason, why), why
    assert not any(left.refused for left in select_sessions(root).left_out)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("sub-01/anat", "sub-02_T1w.nii.gz"),
        ("sub-01/ses-a/anat", "sub-01_ses-b_T1w.nii.gz"),
        ("sub-01/ses-a/anat", "sub-01_T1w.nii.gz"),
        ("sub-01/anat", "sub-01_ses-a_T1w.nii.gz"),
        ("sub-01/anat", "sub-011_T1w.nii.gz"),
    ],
)
def test_a_label_that_is_not_the_folders_is_refused(tmp_path: Path, folder: str, name: str):
    root = data_set(tmp_path, f"{folder}/{name}", "sub-03/anat/sub-03_T1w.nii.gz")
    assert taken(root) == ["sub-03_T1w.nii.gz"]
    (left,) = select_sessions(root).left_out
    assert left.refused
    assert left.path == root / folder / name
    assert "whose scan it is stays open" in left.reason


@pytest.mark.parametrize(
    ("names", "first", "reason"),
    [
        (("sub-01_T1w.nii", "sub-01_T1w.nii.gz"), "sub-01_T1w.nii.gz", "the .nii.gz image"),
        (("sub-01_UNIT1.nii.gz", "sub-01_T1w.nii.gz"), "sub-01_T1w.nii.gz", "the T1w image"),
    ],
)
def test_of_two_files_of_one_name_one_is_taken_and_the_other_told(
    tmp_path: Path, names: tuple[str, ...], first: str, reason: str
):
    root = data_set(tmp_path, *(f"sub-01/anat/{name}" for name in names))
    assert taken(root) == [first]
    ((path, why),) = told(root).items()
    assert path.endswith(next(name for name in names if name != first))
    assert why == f"{reason} of the same name is taken"


def test_a_plain_file_is_taken_where_the_compressed_one_is_not_fetched(tmp_path: Path):
    root = data_set(tmp_path, "sub-01/anat/sub-01_T1w.nii")
    (root / "sub-01/anat/sub-01_T1w.nii.gz").symlink_to(ANNEX)
    assert taken(root) == ["sub-01_T1w.nii"]
    assert list(told(root).values()) == ["the .nii image of the same name is taken"]


def test_a_scan_that_is_not_fetched_is_selected_so_that_it_fails_aloud(tmp_path: Path):
    root = data_set(tmp_path, "sub-01/func/x.nii")
    (root / "sub-01/anat").mkdir()
    (root / "sub-01/anat/sub-01_T1w.nii.gz").symlink_to(ANNEX)
    assert taken(root) == ["sub-01_T1w.nii.gz"]


def test_the_uniform_image_of_an_mp2rage_is_a_t1w_scan(tmp_path: Path):
    root = data_set(tmp_path, "sub-01/anat/sub-01_run-1_UNIT1.nii.gz")
    (session,) = select_sessions(root).sessions
    (scan,) = session.scans
    assert (scan.sequence, scan.name) == ("T1w", "sub-01_run-1_T1w")


def test_people_and_scans_in_the_wrong_place_are_told(tmp_path: Path):
    root = data_set(
        tmp_path,
        "sub-01/anat/sub-01_T1w.nii.gz",
        "Sub-02/anat/Sub-02_T1w.nii.gz",
        "sub-03/sub-03_T1w.nii.gz",
        "sub-04/ses-a/sub-04_ses-a_T2w.nii.gz",
        "sub-05/func/sub-05_bold.nii.gz",
    )
    said = told(root)
    assert taken(root) == ["sub-01_T1w.nii.gz"]
    assert "BIDS writes sub-" in said["Sub-02"]
    assert "outside the folder anat" in said["sub-03/sub-03_T1w.nii.gz"]
    assert "outside the folder anat" in said["sub-04/ses-a/sub-04_ses-a_T2w.nii.gz"]
    assert "no T1w, T2w or FLAIR scan" in said["sub-05"]


def test_labels_that_match_nobody_are_named(tmp_path: Path):
    root = data_set(
        tmp_path, "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"
    )
    found = select_sessions(root, ["sub-01", "9"], ["a", "ses-z"])
    assert found.unknown == ("sub-9", "ses-z")
    assert (found.people, found.visits) == (("sub-01", "sub-02"), ("ses-a",))
    assert [session.name for session in found.sessions] == ["sub-01_ses-a"]


@pytest.mark.parametrize(
    ("lines", "ignored"),
    [
        ("*_run-2_*", {"sub-01/anat/sub-01_run-2_T1w.nii.gz"}),
        ("# a note\n\nsub-02/", {"sub-02/anat/sub-02_T1w.nii.gz"}),
        ("**/anat/*_FLAIR.nii*", {"sub-01/anat/sub-01_FLAIR.nii.gz"}),
        ("/sub-0[!1]/anat", {"sub-02/anat/sub-02_T1w.nii.gz"}),
        ("anat/sub-01_FLAIR.nii.gz", set()),
        ("sub-02\n!sub-02/anat/sub-02_T1w.nii.gz", set()),
        ("sub-01_FLAIR.nii.g?", {"sub-01/anat/sub-01_FLAIR.nii.gz"}),
        ("extra.txt\nFLAIR", set()),
    ],
)
def test_bidsignore_reads_as_a_gitignore_does(tmp_path: Path, lines: str, ignored: set[str]):
    names = {
        "sub-01/anat/sub-01_run-2_T1w.nii.gz",
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
    }
    root = data_set(tmp_path, *names)
    (root / ".bidsignore").write_text(lines, encoding="utf-8")
    rules = read_ignored(root)
    assert {name for name in names if is_ignored(Path(name), rules)} == ignored
    left = {path for path, why in told(root).items() if why == "named in .bidsignore"}
    assert left == ignored


def test_a_person_who_cannot_be_read_stops_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = data_set(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz")
    listed = Path.iterdir

    def denied(self: Path):
        if "sub-01" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", denied)
    (left,) = select_sessions(root).left_out
    assert (left.path.name, left.refused) == ("sub-01", True)
    assert "Permission denied" in left.reason
    assert taken(root) == ["sub-02_T1w.nii.gz"]
