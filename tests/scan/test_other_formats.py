"""Analyze 7.5, against nibabel's reader, and FreeSurfer's formats under all their names."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.io import savemat

from anatomaly.errors import GeometryError, ScanError
from anatomaly.scan.read import read_scan

SIDES = np.diag([4.0, 3.5, 5.25, 1.0])


def write(folder: Path, data: np.ndarray, kind: type = nib.AnalyzeImage, **fields: object) -> Path:
    """Write a pair and overwrite fields of its header."""
    path = folder / "scan.hdr"
    image = kind(data, SIDES)
    image.to_filename(path)
    (folder / "scan.mat").unlink(missing_ok=True)
    header = nib.Spm2AnalyzeHeader(path.read_bytes()[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("half", [".hdr", ".img"])
def test_voxels_and_affine_are_those_of_nibabel(
    tmp_path: Path, head: np.ndarray, dtype: type, half: str
):
    data = (head / 3).astype(dtype)
    path = write(tmp_path, data)
    scan = read_scan(path.with_suffix(half))
    reference = nib.load(path)
    assert np.array_equal(scan.volume.data, data)
    np.testing.assert_allclose(scan.volume.affine, reference.affine, atol=1e-5)
    assert scan.volume.affine[0, 0] < 0
    assert scan.metadata["file_type"] == "Analyze"
    assert any("Analyze 7.5" in w and "may be wrong" in w for w in scan.warnings)


def test_big_endian(tmp_path: Path, head: np.ndarray):
    header = nib.AnalyzeHeader(endianness=">")
    header.set_data_dtype(np.dtype(">i2"))
    nib.AnalyzeImage(head.astype(np.int16), SIDES, header).to_filename(tmp_path / "scan.hdr")
    assert (tmp_path / "scan.hdr").read_bytes()[:4] == b"\0\0\x01\x5c"
    scan = read_scan(tmp_path / "scan.hdr")
    assert np.array_equal(scan.volume.data, head.astype(np.int16))


def test_origin_and_scaling_of_spm(tmp_path: Path, head: np.ndarray):
    data = head.astype(np.int16)
    path = write(tmp_path, data, nib.Spm99AnalyzeImage, origin=[11, 20, 9, 0, 0], scl_slope=0.5)
    scan = read_scan(path)
    np.testing.assert_allclose(scan.volume.affine, nib.load(path).affine, atol=1e-5)
    np.testing.assert_allclose(scan.volume.affine @ [10, 19, 8, 1], [0, 0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(scan.volume.data, data * 0.5)


@pytest.mark.parametrize("name", ["M", "mat"])
def test_matrix_of_spm_counts(tmp_path: Path, head: np.ndarray, oblique: np.ndarray, name: str):
    path = write(tmp_path, head)
    savemat(tmp_path / "scan.mat", {name: oblique})
    scan = read_scan(path)
    np.testing.assert_allclose(scan.volume.affine, nib.load(path).affine, atol=1e-4)
    assert any("the position comes from SPM's file scan.mat" in w for w in scan.warnings)
    assert not any("may be wrong" in w for w in scan.warnings)


@pytest.mark.parametrize("content", [b"1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", b"", b"\0" * 300])
def test_other_matrix_files_are_ignored(tmp_path: Path, head: np.ndarray, content: bytes):
    """FSL calls its registrations `.mat` too; they are text."""
    path = write(tmp_path, head)
    bare = read_scan(path).volume.affine
    (tmp_path / "scan.mat").write_bytes(content)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.affine, bare)
    assert any("may be wrong" in w for w in scan.warnings)


def test_damaged_headers_are_refused(tmp_path: Path, head: np.ndarray):
    with pytest.raises(GeometryError, match="names voxel sizes"):
        read_scan(write(tmp_path, head, pixdim=[0, 4, 0, 5, 0, 0, 0, 0]))
    with pytest.raises(ScanError, match="impossible size"):
        read_scan(write(tmp_path, head, dim=[3, 40, -49, 33, 1, 1, 1, 1]))
    with pytest.raises(ScanError, match=r"needs 32\.0 TB"):
        read_scan(write(tmp_path, head, dim=[3, 20000, 20000, 20000, 1, 1, 1, 1]))
    with pytest.raises(ScanError, match="Analyze header is damaged"):
        read_scan(write(tmp_path, head, datatype=999))
    with pytest.raises(ScanError, match="series of 5 volumes"):
        read_scan(write(tmp_path, np.repeat(head[..., None], 5, axis=3)))


def test_one_volume_of_four_axes(tmp_path: Path, head: np.ndarray):
    assert np.array_equal(read_scan(write(tmp_path, head[..., None])).volume.data, head)


@pytest.mark.parametrize("name", ["T1.mgh", "T1.mgz", "T1.MGZ", "T1.mgh.gz"])
def test_every_name_is_read(tmp_path: Path, head: np.ndarray, oblique: np.ndarray, name: str):
    plain = tmp_path / "plain.mgh"
    nib.MGHImage(head, oblique).to_filename(plain)
    path = tmp_path / name
    content = plain.read_bytes()
    path.write_bytes(content if name == "T1.mgh" else gzip.compress(content))
    scan = read_scan(path)
    assert np.array_equal(scan.volume.data, head)
    np.testing.assert_allclose(scan.volume.affine, oblique, atol=2e-5)
    assert (scan.name, scan.sequence_hint, scan.warnings) == ("T1", "T1w", ())
