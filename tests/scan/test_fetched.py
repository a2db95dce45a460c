"""Files whose content git-annex or git-lfs keeps elsewhere are told apart from broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from anatomaly.errors import ScanError
from anatomaly.scan.fetched import is_unfetched
from anatomaly.scan.read import read_scan

KEY = "MD5E-s5231288--8af00966a4838b26260d375b22d8d84c.nii.gz"
POINTERS = {
    "annex": f"/annex/objects/{KEY}\n",
    "annex link as text": f"../../.git/annex/objects/3f/v2/{KEY}/{KEY}",
    "annex on Windows": f"..\\..\\.git\\annex\\objects\\{KEY}\r\n",
    "lfs": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "old lfs": "version https://hawser.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
}


@pytest.mark.parametrize("kind", POINTERS)
@pytest.mark.parametrize("name", ["sub-01_T1w.nii.gz", "sub-01_T1w.nii", "x.mgz"])
def test_a_pointer_says_how_to_fetch(tmp_path: Path, kind: str, name: str):
    path = tmp_path / name
    path.write_text(POINTERS[kind], encoding="utf-8", newline="")
    remedy = "git lfs pull" if "lfs" in kind else "datalad get"
    with pytest.raises(ScanError, match=f"{name}: not fetched.*{remedy}"):
        read_scan(path)


def test_a_link_into_the_annex_says_how_to_fetch(tmp_path: Path):
    path = tmp_path / "sub-02_T1w.nii.gz"
    path.symlink_to(f"../../.git/annex/objects/3f/v2/{KEY}/{KEY}")
    with pytest.raises(ScanError, match=r"not fetched.*datalad get"):
        read_scan(path)


def test_any_other_link_to_nothing_names_its_target(tmp_path: Path):
    path = tmp_path / "sub-02_T1w.nii.gz"
    path.symlink_to("/disk/gone.nii.gz")
    with pytest.raises(ScanError, match=r"a link to /disk/gone.nii.gz, where nothing is"):
        read_scan(path)


@pytest.mark.parametrize("kind", ["annex", "lfs", "link"])
def test_a_series_of_which_a_slice_is_missing_is_not_read_in_part(tmp_path: Path, kind: str):
    folder = tmp_path / "dicom"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 2000)
    if kind == "link":
        (folder / "2.dcm").symlink_to(f"../.git/annex/objects/{KEY}")
    else:
        (folder / "2.dcm").write_text(POINTERS[kind], encoding="utf-8")
    with pytest.raises(ScanError, match=r"1 of 2 files, for example 2.dcm: not fetched"):
        read_scan(folder)


@pytest.mark.parametrize("content", [b"", b"x", b"version 2 of my notes\n", b"\xff\xfe\0annex"])
def test_other_small_files_are_no_pointers(tmp_path: Path, content: bytes):
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    assert not is_unfetched(path)
