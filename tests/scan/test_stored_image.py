"""Axes of one voxel are dropped; unsigned voxels stored as signed ones are told and read right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from anatomaly.errors import ScanError
from anatomaly.scan.overwrite import write_replaced
from anatomaly.scan.read import read_scan, scan_from_image
from anatomaly.scan.write import write_volume
from anatomaly.volume import Volume

Save = Callable[..., Path]
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


@pytest.fixture
def smooth() -> np.ndarray:
    """(48, 56, 40) in [0, 1]: dark air, a smooth head that is brightest in the middle."""
    random = np.random.default_rng(11)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (48, 56, 40)], indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    texture = ndimage.gaussian_filter(random.normal(0, 1, radius.shape), 1.5)
    inside = 0.55 + 0.35 * (0.85 - radius) + 0.4 * texture
    noise = np.abs(random.normal(0, 0.003, radius.shape))
    return np.clip(np.where(radius < 0.85, inside, noise), 0, 1)


AFFINE = np.diag([4.0, 3.5, 4.5, 1.0])


@pytest.mark.parametrize(("unsigned", "signed"), [(np.uint16, np.int16), (np.uint8, np.int8)])
@pytest.mark.parametrize("floating", [False, True])
def test_wrapped_voxels_are_unwrapped(
    save: Save, smooth: np.ndarray, unsigned: type, signed: type, floating: bool
):
    true = np.rint(smooth * np.iinfo(unsigned).max).astype(unsigned)
    wrapped = true.view(signed)
    scan = read_scan(save(wrapped.astype(np.float32) if floating else wrapped, affine=AFFINE))
    assert np.array_equal(scan.volume.data, true)
    bits = np.iinfo(unsigned).bits
    assert any(
        f"unsigned {bits}-bit numbers were stored as signed ones" in w for w in scan.warnings
    )


def test_wrapped_voxels_in_memory(smooth: np.ndarray):
    true = np.rint(smooth * 60000).astype(np.uint16)
    for image in (
        nib.Nifti1Image(true.view(np.int16), AFFINE),
        Volume(true.view(np.int16), AFFINE),
    ):
        assert np.array_equal(scan_from_image(image).volume.data, true)


def test_filled_scan_is_unsigned_too(save: Save, smooth: np.ndarray, tmp_path: Path):
    true = np.rint(smooth * 60000).astype(np.uint16)
    scan = read_scan(save(true.view(np.int16), affine=AFFINE))
    region = np.zeros(true.shape, dtype=bool)
    region[20:24, 20:24, 20:24] = True
    values = scan.volume.with_data(np.full(true.shape, 50000.0, dtype=np.float32))
    written = np.asarray(nib.load(write_replaced(tmp_path / "f.nii", scan, values, region)).dataobj)
    assert (written[region] == 50000).all()
    assert np.array_equal(written[~region], true[~region])


@pytest.mark.parametrize("kind", ["stretched", "z-scored", "noise", "dim", "waves"])
def test_signed_voxels_stay_as_they_are(save: Save, smooth: np.ndarray, kind: str):
    """Stretched over the whole signed range, as nibabel stores floats; shifted; sharp edges."""
    head = np.where(smooth > 0.1, smooth, 0)
    if kind == "stretched":
        data = np.rint(head * 65535 - 32768)
    elif kind == "z-scored":
        data = np.clip(np.rint((smooth - smooth.mean()) / smooth.std() * 16000), -32768, 32767)
    elif kind == "noise":
        data = np.random.default_rng(0).integers(-32768, 32768, smooth.shape)
    elif kind == "dim":
        data = np.rint(head * 20000)
        data[20:30, 20:30, 20:30] *= -1
    else:
        waves = np.sin(np.arange(48) / 3)[:, None, None] + np.zeros_like(head)
        data = np.where(head > 0, np.rint(waves * 32767), np.rint(smooth * 1e5 + 200))
    stored = data.astype(np.int16)
    scan = read_scan(save(stored, affine=AFFINE))
    assert np.array_equal(scan.volume.data, stored)
    assert not any("unsigned" in w for w in scan.warnings)
