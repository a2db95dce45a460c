"""A scan written again: stored values outside the region keep every bit."""

import nibabel as nib
import numpy as np
import pytest

from anatomaly.errors import OutputError
from anatomaly.scan.overwrite import write_replaced
from anatomaly.scan.read import read_scan, scan_from_image

SHAPE = (61, 56, 39)


def head(dtype, slope=None, inter=None, kind=nib.Nifti1Image):
    rng = np.random.default_rng(3)
    away = np.linalg.norm(np.stack(np.indices(SHAPE), -1) - (30, 28, 19), axis=-1)
    data = np.where(away < 16, 900 + rng.normal(0, 60, SHAPE), rng.random(SHAPE) * 20)
    affine = np.array([[-1.5, 0.2, 0, 12], [0.2, 2.0, 0, -30], [0, 0, 3.0, 7], [0, 0, 0, 1]])
    image = kind(data.astype(dtype), affine)
    image.header.set_slope_inter(slope, inter)
    image.header["descrip"] = b"the scanner's own words"
    return image


CASES = {
    "int16": ("x.nii.gz", dict(dtype=np.int16)),
    "scaled": ("x.nii", dict(dtype=np.uint16, slope=0.5, inter=-20.0)),
    "float64": ("x.nii.gz", dict(dtype=np.float64)),
    "big-endian": ("x.nii", dict(dtype=">i2")),
    "nifti2": ("x.nii.gz", dict(dtype=np.uint8, slope=4.0, inter=0.0, kind=nib.Nifti2Image)),
    "mgz": ("x.mgz", dict(dtype=np.float32)),
}


@pytest.mark.parametrize("case", CASES)
def test_stored_values_outside_are_kept_bit_by_bit(case, tmp_path):
    name, given = CASES[case]
    image = head(**given)
    path, out = tmp_path / name, tmp_path / "deep" / "filled.nii.gz"
    if name.endswith("mgz"):
        image = nib.MGHImage(np.asanyarray(image.dataobj), image.affine)
    nib.save(image, path)
    before = nib.load(path)
    raw = stored(before)
    scan = read_scan(path)
    region = np.zeros(SHAPE, bool)
    region[29:32, 27:30, 18:21] = True
    values = scan.volume.with_data(np.full(SHAPE, 333.3, np.float32))
    write_replaced(out, scan, values, region)
    after = nib.load(out)
    again = stored(after)
    assert again.dtype.newbyteorder("=") == raw.dtype.newbyteorder("=")
    assert again[~region].astype(raw.dtype).tobytes() == raw[~region].tobytes()
    slope = given.get("slope") or 1.0
    step = slope / 2 if raw.dtype.kind in "iu" else 1e-3
    np.testing.assert_allclose(after.get_fdata()[region], 333.3, atol=step + 1e-3)
    np.testing.assert_allclose(after.get_fdata()[~region], before.get_fdata()[~region], rtol=1e-6)
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)
    assert [path.name for path in out.parent.iterdir()] == ["filled.nii.gz"]


def stored(image):
    proxy = image.dataobj
    return proxy.get_unscaled() if hasattr(proxy, "get_unscaled") else np.asanyarray(proxy)


def test_an_image_in_memory_is_written_as_float(tmp_path):
    image = head(np.int16)
    scan = scan_from_image(image, "memory")
    region = np.zeros(SHAPE, bool)
    region[30, 28, 19] = True
    write_replaced(tmp_path / "o.nii.gz", scan, scan.volume.with_data(np.zeros(SHAPE)), region)
    out = nib.load(tmp_path / "o.nii.gz")
    assert out.get_data_dtype() == np.float32
    data = out.get_fdata()
    np.testing.assert_array_equal(data[~region], scan.volume.data[~region])
    assert data[30, 28, 19] == 0


def test_refusals(tmp_path):
    nib.save(head(np.int16), tmp_path / "x.nii.gz")
    scan = read_scan(tmp_path / "x.nii.gz")
    with pytest.raises(OutputError, match="the scan itself"):
        write_replaced(tmp_path / "x.nii.gz", scan, scan.volume, np.ones(SHAPE, bool))
    with pytest.raises(OutputError, match=r"ends with \.nii\.gz"):
        write_replaced(tmp_path / "x.img", scan, scan.volume, np.ones(SHAPE, bool))


def test_a_scan_of_a_dicom_file_becomes_float32(study, tmp_path):
    study.add(4, "T1 MPRAGE")
    scan = read_scan(study.folder / "s04_000.dcm")
    region = np.zeros(scan.volume.shape, bool)
    region[5, 5, 5] = True
    out = tmp_path / "filled.nii.gz"
    write_replaced(out, scan, scan.volume.with_data(np.full(region.shape, 7.0, np.float32)), region)
    filled = nib.load(out).get_fdata()
    assert filled[5, 5, 5] == 7
    np.testing.assert_allclose(filled[~region], scan.volume.data[~region])


@pytest.mark.parametrize("ending", ["nii.gz", "nii"])
def test_a_form_found_wrong_is_not_written_back(ending, tmp_path):
    """A sform of 1 mm beside a right qform: who reads the result must not fall for it."""
    image = head(np.int16)
    right = np.diag([-3.0, 3.0, 4.0, 1.0])
    image.header.set_qform(right, 1)
    image.header.set_sform(np.eye(4), 1)
    wrong = nib.Nifti1Image(np.asanyarray(image.dataobj), None, image.header)
    nib.save(wrong, tmp_path / f"x.{ending}")
    scan = read_scan(tmp_path / f"x.{ending}")
    assert any("the qform is used" in warning for warning in scan.warnings)
    out = tmp_path / f"filled.{ending}"
    write_replaced(out, scan, scan.volume, np.zeros(SHAPE, bool))
    filled = nib.load(out)
    np.testing.assert_allclose(filled.affine, right, atol=1e-4)
    assert (int(filled.header["sform_code"]), int(filled.header["qform_code"])) == (0, 1)
    assert bytes(filled.header["descrip"]).startswith(b"the scanner's own words")
    np.testing.assert_array_equal(stored(filled), stored(wrong))
