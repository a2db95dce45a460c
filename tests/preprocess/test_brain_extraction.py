from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from anatomaly.config import PreprocessConfig
from anatomaly.errors import PreparationError
from anatomaly.geometry import apply_affine
from anatomaly.preprocess import brain_extraction
from anatomaly.preprocess.brain_extraction import extract_brain, read_brain_mask, trim_to_template
from anatomaly.preprocess.quality import mask_dice
from anatomaly.volume import Volume


def _save(path, data, affine):
    nib.save(nib.Nifti1Image(data.astype(np.uint8), affine), path)
    return path


def test_stripped_brain_is_left_as_it_is(make_phantom):
    volume, mask = make_phantom("FLAIR")
    found, record = extract_brain(volume, PreprocessConfig())
    np.testing.assert_array_equal(found.data, mask.data)
    assert record.method == "stripped" and record.already_stripped
    assert record.volume_ml == pytest.approx(1883, rel=0.02)


def test_mask_file_on_another_grid_goes_through_the_affines(make_phantom, tmp_path):
    volume, mask = make_phantom("T1w")
    flipped = mask.affine @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] = mask.affine[:3, :3] @ (mask.shape[0] - 1, 0, 0) + mask.affine[:3, 3]
    path = _save(tmp_path / "mask.nii.gz", mask.data[::-1], flipped)
    found, record = extract_brain(volume, PreprocessConfig(brain_mask=path))
    np.testing.assert_array_equal(found.data, mask.data)
    assert record.method == "file" and not record.already_stripped


def test_the_unit_of_a_mask_file_counts(make_phantom, tmp_path):
    volume, mask = make_phantom("T1w")
    metres = np.diag([0.001, 0.001, 0.001, 1.0]) @ mask.affine
    image = nib.Nifti1Image(mask.data.astype(np.uint8), metres)
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(read_brain_mask(tmp_path / "mask.nii.gz", volume), mask.data)


def test_mask_of_another_place_is_refused(make_phantom, tmp_path):
    volume, mask = make_phantom("T1w")
    away = mask.affine.copy()
    away[0, 3] += 180
    path = _save(tmp_path / "away.nii.gz", mask.data, away)
    with pytest.raises(PreparationError, match=r"does not lie over the scan: \d+ % of it"):
        read_brain_mask(path, volume)


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "four", "truncated"])
def test_unusable_mask_files_are_refused(make_phantom, tmp_path, kind):
    volume, mask = make_phantom("T1w")
    path = tmp_path / "mask.nii.gz"
    if kind == "text":
        path.write_text("this is not an image")
    elif kind == "empty":
        _save(path, np.zeros(mask.shape), mask.affine)
    elif kind == "four":
        _save(path, np.ones((4, 5, 6, 2)), mask.affine)
    elif kind == "truncated":
        _save(path, np.random.default_rng(0).random(mask.shape) * 200, mask.affine)
        path.write_bytes(path.read_bytes()[:3000])
    said = {"missing": "does not exist", "empty": "is empty"}.get(kind, "cannot be")
    with pytest.raises(PreparationError, match=said):
        read_brain_mask(path, volume)


def test_without_deepbet_the_atlas_serves_and_says_so(make_phantom, monkeypatch):
    volume, mask = make_phantom("T1w")
    air = np.abs(np.random.default_rng(1).normal(0, 5, volume.shape)).astype(np.float32)
    head = volume.with_data(volume.data + air)

    def missing():
        raise PreparationError("deepbet is not installed")

    monkeypatch.setattr(brain_extraction, "_load_deepbet", missing)
    found, record = extract_brain(head, PreprocessConfig())
    assert record.method == "atlas"
    assert "template's mask was used instead" in record.warnings[0]
    assert mask_dice(found.data, mask.data) > 0.95
    with pytest.raises(PreparationError, match="not installed"):
        extract_brain(head, PreprocessConfig(brain_extraction="deepbet"))


def test_generous_mask_counts_as_stripped_only_if_deepbet_agrees(make_phantom, monkeypatch):
    volume, mask = make_phantom("T1w")
    rim = ndimage.binary_dilation(mask.data, iterations=2)
    generous = volume.with_data(np.where(rim, volume.data + 5, 0).astype(np.float32))
    monkeypatch.setattr(brain_extraction, "run_deepbet", lambda _: mask.data)
    assert extract_brain(generous, PreprocessConfig())[1].method == "stripped"
    small = ndimage.binary_erosion(mask.data, iterations=6)
    monkeypatch.setattr(brain_extraction, "run_deepbet", lambda _: small)
    assert extract_brain(generous, PreprocessConfig())[1].method == "deepbet"


def test_trimming_cuts_eyes_and_keeps_the_brain(make_phantom):
    _, mask = make_phantom("T1w")
    places = apply_affine(mask.affine, np.stack(np.indices(mask.shape), axis=-1))
    eye = np.linalg.norm(places - (30, 62, -40), axis=-1) < 14
    found = trim_to_template(mask.with_data(mask.data | eye), np.eye(4))
    assert (eye & ~mask.data).sum() > 500
    assert (found.data & eye & ~mask.data).sum() < 0.3 * (eye & ~mask.data).sum()
    np.testing.assert_array_equal(found.data & mask.data, mask.data)


def test_real_head_against_its_parcellation(data_folder):
    folder = data_folder / "ixi_t1_2mm" / "validation"
    image = nib.load(folder / "IXI014_T1w.nii.gz")
    labels = np.asarray(nib.load(folder / "IXI014_dlmuse.nii.gz").dataobj)
    volume = Volume(image.get_fdata(dtype=np.float32), image.affine)
    found, record = extract_brain(volume, PreprocessConfig())
    assert record.method == "deepbet"
    assert mask_dice(found.data, ndimage.binary_fill_holes(labels > 0)) > 0.95
