"""Axes of one voxel are dropped wherever they stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly.errors import ScanError
from anatomaly.scan.read import read_scan, scan_from_image
from anatomaly.scan.write import write_volume

SHAPES = [
    (1, 40, 49, 33),
    (40, 49, 1, 33),
    (40, 1, 49, 33),
    (1, 1, 40, 49, 33),
    (40, 49, 1, 1, 33),
    (40, 49, 33, 1, 1, 1),
    (1, 40, 49, 33, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_axes_of_one_voxel_are_dropped(
    tmp_path: Path, head: np.ndarray, oblique: np.ndarray, shape: tuple[int, ...]
):
    path = tmp_path / "scan.nii.gz"
    image = nib.Nifti1Image(head.reshape(shape), oblique)
    image.set_sform(oblique, 1)
    image.set_qform(oblique, 1)
    image.to_filename(path)
    for scan in (read_scan(path), scan_from_image(nib.load(path))):
        assert np.array_equal(scan.volume.data, head)
        assert np.array_equal(scan.volume.affine, oblique)
        told = "single volume" if shape[:3] == head.shape else "axes of one voxel were dropped"
        assert any(told in warning for warning in scan.warnings)
    result = nib.load(write_volume(tmp_path / "out.nii.gz", scan.volume, scan, np.float32))
    assert result.shape == head.shape
    assert np.array_equal(result.affine, oblique)


@pytest.mark.parametrize("kind", [nib.MGHImage, nib.Nifti1Pair, nib.Nifti2Image])
def test_other_formats_too(tmp_path: Path, head: np.ndarray, oblique: np.ndarray, kind: type):
    ending = {nib.MGHImage: ".mgh", nib.Nifti1Pair: ".hdr", nib.Nifti2Image: ".nii"}[kind]
    image = kind(head[:, :, None], oblique)
    image.to_filename(tmp_path / f"scan{ending}")
    assert np.array_equal(read_scan(tmp_path / f"scan{ending}").volume.data, head)


@pytest.mark.parametrize("shape", [(1, 40, 49, 1), (1, 49, 33), (40, 1, 1, 33), (1, 1, 1)])
def test_fewer_than_three_axes_are_one_slice(
    save: Callable[..., Path], head: np.ndarray, shape: tuple[int, ...]
):
    with pytest.raises(ScanError, match=r"single slice.*give the whole 3D series"):
        read_scan(save(np.resize(head, shape)))


def test_several_volumes_behind_an_axis_of_one_voxel(save: Callable[..., Path], head: np.ndarray):
    with pytest.raises(ScanError, match=r"series of 2 volumes \(size 1 x 40 x 49 x 33 x 2\)"):
        read_scan(save(np.stack([head, head], axis=-1)[None]))
