"""Header values that leave the data readable: put right as other readers do, and told."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly.errors import ScanError
from anatomaly.scan.read import read_scan

Save = Callable[..., Path]
Poke = Callable[..., Path]


def without_flag(path: Path, header_bytes: int = 348) -> Path:
    """Take the four bytes between header and voxels out of a file."""
    content = path.read_bytes()
    path.write_bytes(content[:header_bytes] + content[header_bytes + 4 :])
    return path


def pack(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()
    return packed


@pytest.fixture(params=[np.int16, np.float64, ">i2", np.uint8])
def stored(request: pytest.FixtureRequest, head: np.ndarray) -> np.ndarray:
    """The head in several types; noise everywhere, so that a shift cannot hide in air."""
    noise = np.random.default_rng(4).integers(1, 40, head.shape)
    return np.rint(head / 3 + noise).clip(0, 255).astype(request.param)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("said", [0, 348, 351, 4, -5, -1e9, np.nan, -np.inf])
def test_offset_below_352_is_352(
    save: Save, stored: np.ndarray, poke: Poke, said: float, packed: bool
):
    path = poke(save(stored, "scan.nii"), vox_offset=said)
    scan = read_scan(pack(path) if packed else path)
    assert np.array_equal(scan.volume.data, stored)
    assert any("begin at byte" in w and "at byte 352" in w for w in scan.warnings)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("said", [0, 348, np.nan])
def test_voxels_right_behind_the_header_are_found(
    save: Save, stored: np.ndarray, poke: Poke, said: float, packed: bool
):
    path = without_flag(poke(save(stored, "scan.nii"), vox_offset=said))
    scan = read_scan(pack(path) if packed else path)
    assert np.array_equal(scan.volume.data, stored)
    assert any("they begin at byte 348" in w for w in scan.warnings)


def test_voxels_where_348_says_are_read_before_other_bytes(
    save: Save, stored: np.ndarray, poke: Poke
):
    path = without_flag(poke(save(stored, "scan.nii"), vox_offset=348))
    path.write_bytes(path.read_bytes() + b"more than an image")
    assert np.array_equal(read_scan(path).volume.data, stored)


def test_file_four_bytes_short_is_refused(save: Save, stored: np.ndarray):
    with pytest.raises(ScanError, match=r"truncated.* bytes, the file can hold at most [\d,]+;"):
        read_scan(without_flag(save(stored, "scan.nii")))


def test_extension_without_a_sound_offset_is_refused(save: Save, stored: np.ndarray, poke: Poke):
    path = poke(save(stored, "scan.nii"), vox_offset=0)
    content = path.read_bytes()
    note = b"\x20\0\0\0\x06\0\0\0" + b"a note".ljust(24, b"\0")
    path.write_bytes(content[:348] + b"\1\0\0\0" + note + content[352:])
    with pytest.raises(ScanError, match=r"begin at byte 0, but an extension lies there; convert"):
        read_scan(path)


def test_extension_flag_without_an_extension_is_harmless(save: Save, stored: np.ndarray):
    path = save(stored, "scan.nii")
    content = path.read_bytes()
    path.write_bytes(content[:348] + b"\1\0\0\0" + content[352:])
    assert np.array_equal(read_scan(path).volume.data, stored)
    assert read_scan(path).warnings == ()


@pytest.mark.parametrize(("said", "begins"), [(0, 544), (-7, 544), (540, 544), (543, 544)])
def test_nifti2_has_544(
    tmp_path: Path, stored: np.ndarray, oblique: np.ndarray, said: int, begins: int
):
    path = tmp_path / "scan.nii"
    nib.Nifti2Image(stored, oblique).to_filename(path)
    content = bytearray(path.read_bytes())
    header = nib.Nifti2Header(bytes(content[:540]), check=False)
    header["vox_offset"] = said
    content[:540] = header.binaryblock
    path.write_bytes(content)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.data, stored)
    assert any(f"they begin at byte {begins}" in w for w in scan.warnings)
    assert np.array_equal(read_scan(without_flag(path, 540)).volume.data, stored)


def test_fraction_of_an_offset_is_dropped(save: Save, stored: np.ndarray, poke: Poke):
    scan = read_scan(poke(save(stored, "scan.nii"), vox_offset=352.5))
    assert np.array_equal(scan.volume.data, stored)
    assert any("byte 352.5 by the header; taken for 352" in w for w in scan.warnings)


@pytest.mark.parametrize(
    "dim", [[4, 40, 49, 33, 0, 1, 1, 1], [5, 40, 49, 33, 0, -1, 1, 1], [2, 40, 49, 33, 1, 1, 1, 1]]
)
def test_wrong_number_of_axes_is_put_right(
    save: Save, head: np.ndarray, poke: Poke, dim: list[int]
):
    scan = read_scan(poke(save(head, "scan.nii"), dim=dim))
    assert np.array_equal(scan.volume.data, head)
    assert any("the header " in w and ("sizes below 1" in w or "read as 3D" in w)
               for w in scan.warnings)  # fmt: skip


def test_two_axes_are_one_slice_where_the_file_holds_no_more(
    save: Save, head: np.ndarray, poke: Poke
):
    path = poke(save(head, "scan.nii"), dim=[2, 40, 49, 33, 1, 1, 1, 1])
    path.write_bytes(path.read_bytes()[: 352 + 40 * 49 * 4])
    with pytest.raises(ScanError, match="truncated"):
        read_scan(path)


def test_type_counts_where_the_bits_disagree(save: Save, stored: np.ndarray, poke: Poke):
    scan = read_scan(poke(save(stored, "scan.nii"), bitpix=12))
    assert np.array_equal(scan.volume.data, stored)
    assert any("says 12 bits a voxel" in w for w in scan.warnings)


def test_type_that_the_length_of_the_file_belies_is_refused(
    save: Save, head: np.ndarray, poke: Poke
):
    path = poke(save(head, "scan.nii"), datatype=4, bitpix=32)  # float32, said to be int16
    said = r"int16 and 32 bits a voxel.*the type is wrong"
    with pytest.raises(ScanError, match=said):
        read_scan(path)
    with pytest.raises(ScanError, match=said):
        read_scan(pack(path))


@pytest.mark.parametrize(("code", "counts"), [(6, True), (200, True), (-1, False)])
def test_code_nobody_knows(
    save: Save, head: np.ndarray, poke: Poke, oblique: np.ndarray, code: int, counts: bool
):
    moved = oblique[0] + (0, 0, 0, 5)
    scan = read_scan(poke(save(head, "scan.nii"), sform_code=code, srow_x=moved))
    assert scan.metadata["affine_from"] == ("sform" if counts else "qform")
    assert any(f"sform_code {code} is no known code" in w for w in scan.warnings)
    assert int(scan.header["sform_code"]) == (2 if counts else 0)


def test_handedness_is_read_from_its_sign(save: Save, head: np.ndarray, poke: Poke):
    """The affine `oblique` is left-handed; nibabel would take -2 for 1 and mirror the head."""
    path = save(head, "scan.nii", sform_code=0)
    right = read_scan(path).volume.affine
    pixdim = nib.load(path).header["pixdim"].copy()
    assert pixdim[0] == -1
    pixdim[0] = -2
    scan = read_scan(poke(path, pixdim=pixdim))
    assert np.array_equal(scan.volume.affine, right)
    assert any("handedness of the qform is -2; taken for -1" in w for w in scan.warnings)
