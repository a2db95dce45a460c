"""NIfTI and MGZ files: what is read, and that bad ones are refused before anything is allocated."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from anatomaly.errors import GeometryError, ScanError
from anatomaly.scan import nifti, stored_image
from anatomaly.scan.read import read_scan

Save = Callable[..., Path]
Check = Callable[[], None]


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "SCAN.NII.GZ"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64, ">f4"])
def test_voxels_equal_those_of_nibabel(
    save: Save, head: np.ndarray, name: str, dtype: str, nothing_left: Check
):
    path = save((head / 3).astype(dtype), name)
    image = nifti.read_nifti(path)
    reference = nib.load(path)
    assert np.array_equal(image.voxels, np.asanyarray(reference.dataobj))
    assert np.array_equal(image.header.get_best_affine(), reference.affine)
    nothing_left()


def test_nifti2_and_big_endian_files_are_read(tmp_path: Path, head: np.ndarray, oblique):
    second = tmp_path / "second.nii.gz"
    nib.Nifti2Image(head, oblique).to_filename(second)
    assert nifti.read_nifti(second).file_type == "NIfTI-2"
    assert np.array_equal(read_scan(second).volume.data, head)
    big = tmp_path / "big.nii"
    image = nib.Nifti1Image(head, oblique)
    nib.Nifti1Image(head, oblique, image.header.as_byteswapped(">")).to_filename(big)
    assert big.read_bytes()[:4] == struct.pack(">i", 348)
    assert np.array_equal(read_scan(big).volume.data, head)
    assert np.array_equal(read_scan(big).volume.affine, oblique)


def test_scaled_integers_are_scaled(save: Save, head: np.ndarray, poke: Callable[..., Path]):
    path = poke(save(head.astype(np.int16), "scan.nii"), scl_slope=0.5, scl_inter=-3)
    np.testing.assert_allclose(
        read_scan(path).volume.data, head.astype(np.int16) * 0.5 - 3, rtol=1e-6
    )


@pytest.mark.parametrize("slope", [0, np.nan, np.inf])
def test_meaningless_slopes_mean_no_scaling(
    save: Save, head: np.ndarray, poke: Callable[..., Path], slope: float
):
    path = poke(save(head.astype(np.int16), "scan.nii"), scl_slope=slope, scl_inter=7)
    assert np.array_equal(read_scan(path).volume.data, head.astype(np.int16))


@pytest.mark.parametrize("intercept", [np.nan, np.inf, -np.inf])
def test_meaningless_intercepts_are_zero(
    save: Save, head: np.ndarray, poke: Callable[..., Path], intercept: float
):
    path = poke(save(head.astype(np.int16), "scan.nii"), scl_slope=2, scl_inter=intercept)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.data, 2 * head.astype(np.int16))
    assert any("intercept of the scaling is" in warning for warning in scan.warnings)


@pytest.mark.parametrize(("slope", "intercept"), [(0, 7), (np.inf, 0), (np.nan, -3)])
def test_scaling_that_is_ignored_is_told(
    save: Save, head: np.ndarray, poke: Callable[..., Path], slope: float, intercept: float
):
    path = poke(save(head.astype(np.int16), "scan.nii"), scl_slope=slope, scl_inter=intercept)
    assert any("was ignored" in warning for warning in read_scan(path).warnings)


def test_mgz_is_read_with_its_affine(tmp_path: Path, head: np.ndarray, oblique: np.ndarray):
    path = tmp_path / "T1.mgz"
    nib.MGHImage(head, oblique).to_filename(path)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.data, head)
    np.testing.assert_allclose(scan.volume.affine, nib.load(path).affine, rtol=0, atol=2e-5)
    assert (scan.name, scan.sequence_hint) == ("T1", "T1w")


def test_mgz_without_position_warns(tmp_path: Path, head: np.ndarray, oblique: np.ndarray):
    path = tmp_path / "scan.mgz"
    nib.MGHImage(np.pad(head, ((20, 20), (10, 10), (20, 20))), oblique).to_filename(path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[28:30] = struct.pack(">h", 0)
    path.write_bytes(gzip.compress(content))
    scan = read_scan(path)
    assert any("position is unknown" in warning for warning in scan.warnings)
    assert np.array_equal(scan.volume.affine, nib.load(path).affine)


def test_truncated_or_false_mgz_is_refused(
    tmp_path: Path, head: np.ndarray, oblique: np.ndarray, nothing_left: Check
):
    path = tmp_path / "in" / "scan.mgz"
    nib.MGHImage(head, oblique).to_filename(path)
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[: len(content) // 2]))
    with pytest.raises(ScanError, match="truncated"):
        read_scan(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ScanError, match="truncated"):
        read_scan(path)
    path.write_text("not an image " * 40)
    with pytest.raises(
        ScanError, match=r"not a FreeSurfer \.mgz file.*begins with b'not an image'"
    ):
        read_scan(path)
    nothing_left()


def test_missing_file_is_refused(tmp_path: Path, nothing_left: Check):
    with pytest.raises(
        ScanError, match=r"nowhere\.nii\.gz: no such file or folder; check the path"
    ):
        read_scan(tmp_path / "in" / "nowhere.nii.gz")
    with pytest.raises(ScanError, match=r"cannot be read|no such file"):
        read_scan("x" * 5000 + ".nii")
    nothing_left()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.nii.gz", b"dear reader, " * 50, "not a NIfTI file.*begins with b'dear reader,'"),
        ("a.nii", b"dear reader, " * 50, "not a NIfTI file.*convert the scan from DICOM"),
        ("a.nii.gz", b"", "empty.*copy it again"),
        ("a.nii.gz", b"\x1f", "not a NIfTI file"),
        ("a.nii.gz", b"\x1f\x8b", "truncated or damaged"),
        ("a.nii.gz", b"\x1f\x8b" + b"\7" * 700, "truncated or damaged"),
        ("a.nii.gz", gzip.compress(b"dear reader, " * 50, mtime=0), "not a NIfTI file"),
        (
            "a.nrrd",
            b"NRRD0004",
            r"unknown file type, expected \.nii\.gz, \.nii, \.mgz.*or a folder",
        ),
        ("a.nii.bz2", b"BZh91AY", r"packed with bzip2, only gzip is read; unpack it"),
        ("a.nii.gz", b"\xfd7zXZ\0" + bytes(90), r"packed with xz, only gzip is read; unpack it"),
        ("a.img", bytes(900), r"the header that belongs to it \(the same name with \.hdr\)"),
        ("a.hdr", b"ENVI description" * 50, r"not a NIfTI file \(it begins with b'ENVI"),
        ("a", b"", "unknown file type"),
    ],
)
def test_files_that_are_no_nifti_are_refused(
    tmp_path: Path, name: str, content: bytes, message: str, nothing_left: Check
):
    path = tmp_path / "in" / name
    path.write_bytes(content)
    with pytest.raises(ScanError, match=message):
        read_scan(path)
    nothing_left()


@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.99, 0.9999])
def test_truncated_gzip_is_refused(save: Save, head: np.ndarray, share: float, nothing_left: Check):
    path = save(head)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ScanError, match=r"truncated or damaged.*copy or convert it again"):
        read_scan(path)
    nothing_left()


def test_flipped_bit_is_seen_by_the_checksum(save: Save, head: np.ndarray):
    path = save(head)
    plain = bytearray(gzip.decompress(path.read_bytes()))
    good = gzip.compress(plain, 0)  # stored, not packed: only the checksum can see the change
    at = good.index(plain[130000:130020])
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    with pytest.raises(ScanError, match=r"damaged.*CRC"):
        read_scan(path)


def test_truncated_plain_file_is_refused(save: Save, head: np.ndarray, nothing_left: Check):
    path = save(head, "scan.nii")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ScanError, match=r"truncated.*needs 258.7 kB.*hold at most 257.7 kB"):
        read_scan(path)
    nothing_left()


@pytest.mark.parametrize("pack", [False, True])
def test_terabytes_are_refused_before_allocation(
    save: Save, head: np.ndarray, poke: Callable[..., Path], pack: bool, nothing_left: Check
):
    path = poke(save(head, "scan.nii"), dim=[3, 20000, 20000, 20000, 1, 1, 1, 1])
    if pack:
        packed = path.with_suffix(".nii.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        path = packed
    tracemalloc.start()
    with pytest.raises(ScanError, match=r"20000 x 20000 x 20000 needs 32\.0 TB, the file can hold"):
        read_scan(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6
    nothing_left()


def test_no_more_is_unpacked_than_promised(save: Save, head: np.ndarray):
    """A small image followed by 300 MB of packed zeros: a bomb for a reader that unpacks it all."""
    path = save(head, "scan.nii")
    packed = path.with_suffix(".nii.gz")
    with gzip.open(packed, "wb") as file:
        file.write(path.read_bytes())
        for _ in range(300):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    image = nifti.read_nifti(packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(image.voxels, head)
    assert peak < 20e6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dim": [3, 40, -49, 33, 1, 1, 1, 1]}, "impossible size"),
        ({"dim": [3, 40, 0, 33, 1, 1, 1, 1]}, "impossible size"),
        ({"dim": [0, 40, 49, 33, 1, 1, 1, 1]}, "impossible size"),
        ({"dim": [9, 40, 49, 33, 1, 1, 1, 1]}, "not a NIfTI|impossible size"),
        ({"datatype": 1}, "damaged|convert the scan again|type"),
        ({"datatype": 999}, "damaged.*convert the scan again"),
        ({"vox_offset": 1e12}, "voxels begin at byte"),
        ({"vox_offset": np.inf}, "voxels begin at byte inf"),
        ({"magic": b"ni1\0"}, "not a NIfTI file"),
    ],
)
def test_damaged_headers_are_refused(
    save: Save, head: np.ndarray, poke: Callable[..., Path], fields: dict, message: str
):
    path = poke(save(head, "scan.nii"), **fields)
    with pytest.raises(ScanError, match=message):
        read_scan(path)


def test_4d_with_one_volume_is_squeezed(save: Save, head: np.ndarray):
    scan = read_scan(save(head[..., None]))
    assert np.array_equal(scan.volume.data, head)
    assert scan.header.get_data_shape() == head.shape
    assert any("single volume" in warning for warning in scan.warnings)


@pytest.mark.parametrize("extra", [(5,), (1, 3), (1, 1, 2)])
def test_4d_series_is_refused_with_the_way_out(
    save: Save, head: np.ndarray, extra: tuple[int, ...], nothing_left: Check
):
    data = np.broadcast_to(head.reshape(*head.shape, *(1 for _ in extra)), head.shape + extra)
    with pytest.raises(
        ScanError, match=r"series of \d volumes.*pick a volume.*slicer\[\.\.\., 0\]"
    ):
        read_scan(save(np.ascontiguousarray(data)))
    nothing_left()


@pytest.mark.parametrize("axes", [(40, 49), (40, 49, 1), (1, 49, 33)])
def test_one_slice_is_refused(
    save: Save, head: np.ndarray, axes: tuple[int, ...], nothing_left: Check
):
    with pytest.raises(ScanError, match=r"single slice.*give the whole 3D series"):
        read_scan(save(np.resize(head, axes)))
    nothing_left()


def test_colour_is_refused(save: Save, head: np.ndarray, nothing_left: Check):
    colour = np.zeros(head.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ScanError, match=r"colour image \(RGB\).*grey-value MR image"):
        read_scan(save(colour))
    nothing_left()


def test_complex_is_refused(save: Save, head: np.ndarray, nothing_left: Check):
    with pytest.raises(ScanError, match=r"complex voxels.*magnitude"):
        read_scan(save(head.astype(np.complex64)))
    nothing_left()


def test_zero_voxel_sizes_without_sform_are_refused(
    save: Save, head: np.ndarray, poke: Callable[..., Path]
):
    path = poke(save(head, "scan.nii"), sform_code=0, pixdim=[1, 0, 0, 0, 0, 0, 0, 0])
    with pytest.raises(GeometryError, match=r"voxel sizes.*no usable position"):
        read_scan(path)


def test_compression_is_seen_from_the_content(save: Save, head: np.ndarray, tmp_path: Path):
    plain, packed = save(head, "a.nii"), save(head, "b.nii.gz")
    swapped = tmp_path / "in" / "plain.nii.gz"
    plain.rename(swapped)
    packed.rename(plain)
    for path, said in ((swapped, "is not compressed"), (plain, "is gzip-compressed")):
        scan = read_scan(path)
        assert np.array_equal(scan.volume.data, head)
        assert any(said in warning for warning in scan.warnings)


def test_far_too_many_voxels_are_refused(monkeypatch: pytest.MonkeyPatch, save: Save, head):
    path = save(head)
    monkeypatch.setattr(stored_image, "MAX_VOXELS", 60_000)
    with pytest.raises(ScanError, match=r"64,680 voxels, the limit is 60,000; .*resample"):
        read_scan(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image, nib.MGHImage])
def test_random_damage_ends_in_a_scan_or_a_named_error(
    tmp_path: Path, head: np.ndarray, oblique: np.ndarray, kind: type
):
    """300 headers with bytes overwritten: never another exception, never a numpy warning."""
    random = np.random.default_rng(19)
    path = tmp_path / ("scan.mgz" if kind is nib.MGHImage else "scan.nii")
    kind(head, oblique).to_filename(path)
    sound = path.read_bytes()
    sound = gzip.decompress(sound) if path.suffix == ".mgz" else sound
    length = {nib.Nifti1Image: 352, nib.Nifti2Image: 544, nib.MGHImage: 90}[kind]
    refused = 0
    for _ in range(100):
        damaged = bytearray(sound)
        for _ in range(random.integers(1, 4)):
            at, width = random.integers(0, length), random.choice([1, 2, 4, 8])
            fill = random.choice([0, 127, 255, -1])
            new = random.integers(0, 256, width) if fill < 0 else np.full(width, fill)
            damaged[at : at + width] = new.astype(np.uint8).tobytes()
        path.write_bytes(damaged)
        try:
            read_scan(path)
        except ScanError:
            refused += 1
    assert 10 < refused < 90
