from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from anatomaly.errors import PreparationError
from anatomaly.preprocess.niimath import read_nifti, run_niimath, write_nifti
from anatomaly.volume import Volume


def test_writes_runs_and_reads(tmp_path):
    data = np.random.default_rng(0).random((5, 7, 4)).astype(np.float32)
    write_nifti(tmp_path / "in.nii", Volume(data, np.diag([1, 2, 3, 1.0])))
    run_niimath(["in.nii", "-mul", "3", "out.nii"], tmp_path)
    np.testing.assert_allclose(read_nifti(tmp_path / "out.nii"), 3 * data, rtol=1e-6)


def test_failure_names_the_step_and_what_niimath_said(tmp_path):
    with pytest.raises(PreparationError, match="niimath -n4 ended with status"):
        run_niimath(["missing.nii", "-n4", "out.nii"], tmp_path)


def test_missing_output_is_an_error(tmp_path):
    with pytest.raises(PreparationError, match=r"did not write out\.nii"):
        read_nifti(tmp_path / "out.nii")


def test_not_installed_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "niimath", None)
    with pytest.raises(PreparationError, match="pip install niimath"):
        run_niimath(["a.nii", "-mul", "3", "b.nii"], tmp_path)


def test_a_run_that_hangs_is_ended(tmp_path, monkeypatch):
    def hang(*args, timeout, **kwargs):
        raise subprocess.TimeoutExpired(args[0], timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(PreparationError, match="did not finish within 2 s"):
        run_niimath(["a.nii", "-mul", "3", "b.nii"], tmp_path, timeout_seconds=2)


def test_unwritable_temporary_folder_says_what_to_do(tmp_path):
    volume = Volume(np.zeros((2, 3, 4), dtype=np.float32), np.eye(4))
    with pytest.raises(PreparationError, match="TMPDIR"):
        write_nifti(tmp_path / "gone" / "in.nii", volume)


@pytest.mark.parametrize("kept", [0, 200, 400])
def test_a_file_that_a_full_disk_cut_short_says_so(tmp_path, kept):
    path = tmp_path / "field.nii"
    write_nifti(path, Volume(np.ones((5, 7, 4), dtype=np.float32), np.eye(4)))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(PreparationError, match=r"a part of field.nii alone.*TMPDIR"):
        read_nifti(path)
