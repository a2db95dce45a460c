"""The cohort: resampling by two routes, repairs by hand, a bad file never stops the others."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.training import cohort
from anatomaly.training.cohort import load_cohort, prepare_label_maps, prepare_scans
from anatomaly.training.synthesis.label_maps import CLASS_NAMES

SHAPE = (61, 75, 58)
TO_VOXEL = np.array(
    [[0.36, 0.03, 0, 2.0], [-0.02, 0.38, 0.04, 1.5], [0, -0.03, 0.35, 0.7], [0, 0, 0, 1.0]]
)


def test_linear_resampling_is_that_of_scipy():
    coarse = np.random.default_rng(0).random((8, 9, 7))
    volume = ndimage.zoom(coarse, np.array(SHAPE) / coarse.shape, order=1).astype(np.float32)
    found = cohort._sample(torch.tensor(volume)[None], TO_VOXEL)[0].numpy()
    expected = ndimage.affine_transform(
        volume, TO_VOXEL[:3, :3], TO_VOXEL[:3, 3], TEMPLATE_SHAPE, order=1, mode="grid-constant"
    )
    assert found.shape == TEMPLATE_SHAPE
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert (found == 0).any()  # part of the working grid lies outside


def test_classes_follow_the_nearest_voxel_but_at_boundaries():
    coarse = np.random.default_rng(1).integers(0, 4, (5, 6, 4))
    classes = np.kron(coarse, np.ones((13, 13, 15), int))[:61, :75, :58].astype(np.uint8)
    found = cohort.resample_classes(classes, TO_VOXEL)
    even = ndimage.maximum_filter(classes, 3) == ndimage.minimum_filter(classes, 3)
    nearest, inside = (
        ndimage.affine_transform(a, TO_VOXEL[:3, :3], TO_VOXEL[:3, 3], TEMPLATE_SHAPE, order=0)
        for a in (classes, even.astype(np.uint8))
    )
    assert found.dtype == np.uint8
    assert set(np.unique(found)) <= {0, 1, 2, 3}
    np.testing.assert_array_equal(found[inside > 0], nearest[inside > 0])
    assert (inside > 0).sum() > 100_000
    assert 0.97 < (found == nearest).mean() < 1  # only at boundaries the largest share wins


def test_coarse_cortex_is_refined_by_its_intensity():
    csf, cortex, ventricle = (
        CLASS_NAMES.index(n) for n in ("sulcal CSF", "cortex", "ventricular CSF")
    )
    classes = np.array([ventricle] * 3 + [cortex] * 5 + [csf] * 3 + [9]).reshape(1, 1, -1)
    # ventricle .2, cortex .6: below .4 is CSF, and CSF above .5 is cortex
    t1w = np.array([0.2, 0.2, 0.2, 0.6, 0.6, 0.6, 0.39, 0.41, 0.2, 0.49, 0.51, 0.1]).reshape(
        1, 1, -1
    )
    found = cohort._refine_cortex(classes, t1w).ravel().tolist()
    assert found == [ventricle] * 3 + [cortex] * 3 + [csf, cortex, csf, csf, cortex, 9]


def test_brain_of_whole_head_labels_covers_its_sulci_but_no_outer_csf():
    white = CLASS_NAMES.index("cerebral white matter")
    classes = np.zeros((40, 40, 40), np.uint8)
    classes[4:36, 4:36, 4:36] = CLASS_NAMES.index("sulcal CSF")
    classes[10:30, 10:30, 10:30] = white
    classes[19:21, 10:20, 10:30] = CLASS_NAMES.index("sulcal CSF")  # a sulcus, 2 voxels wide
    brain = cohort._brain_of_classes(classes, "freesurfer")
    assert brain[19:21, 12:20, 12:28].all()
    assert not brain[:9].any()
    assert brain[10:30, 22:30, 10:30].all()


def save_labels(path, fill):
    data = np.zeros((20, 20, 20), np.int16)
    data[5:15, 5:15, 5:15] = fill
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path


def cache_person(folder, labels, image=None):
    folder.mkdir(parents=True)
    np.save(folder / "labels.npy", labels)
    if image is not None:
        np.save(folder / "image.npy", image)


def test_load_in_the_order_of_names(tmp_path):
    labels = np.full((3, 4, 5), 7, np.uint8)
    cache_person(tmp_path / "b", labels, labels + 1)
    cache_person(tmp_path / "a", labels)
    np.save(tmp_path / "a" / "FLAIR.npy", labels + 2)
    (tmp_path / "half_prepared").mkdir()
    first, second = load_cohort(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    assert first.image is None and (second.image == 8).all()
    assert list(first.images) == ["FLAIR"] and (first.images["FLAIR"] == 9).all()
    assert list(second.images) == ["T1w"]
    assert isinstance(first.labels, np.memmap)


@pytest.mark.parametrize("there", [True, False])
def test_an_empty_cohort(tmp_path, there):
    folder = tmp_path if there else tmp_path / "missing"
    with pytest.raises(TrainingError, match="no prepared person"):
        load_cohort(folder)


def test_bad_files_are_skipped_with_a_reason(tmp_path):
    (tmp_path / "text.nii.gz").write_text("no image")
    cut = save_labels(tmp_path / "cut.nii.gz", 2)
    cut.write_bytes(cut.read_bytes()[:200])
    paths = [
        tmp_path / "missing.nii.gz",
        tmp_path / "text.nii.gz",
        cut,
        save_labels(tmp_path / "foreign.nii.gz", 999),
        save_labels(tmp_path / "large.nii.gz", 5000),
    ]
    lines = list(prepare_label_maps(paths, tmp_path / "cache"))
    assert len(lines) == len(paths)
    assert all(": skipped: " in line for line in lines)
    assert not (tmp_path / "cache").exists()


def test_what_is_cached_is_not_prepared_again(tmp_path, monkeypatch):
    def fake(labels, name, scan):
        calls.append(name)
        data = np.ones(TEMPLATE_SHAPE, np.uint8)
        return cohort.Subject(name, data, data if scan else None), {"volume_ml": 1500.0}

    calls: list[str] = []
    monkeypatch.setattr(cohort, "_prepare", fake)
    maps = [tmp_path / "one.nii.gz", tmp_path / "two.nii.gz"]
    scans = [(tmp_path / "sub-1_T1w.nii.gz", tmp_path / "sub-1_dlmuse.nii.gz")]
    assert list(prepare_label_maps(maps, tmp_path / "c")) == ["one: prepared", "two: prepared"]
    assert list(prepare_label_maps(maps, tmp_path / "c")) == ["one: cached", "two: cached"]
    (tmp_path / "c" / "two" / "subject.json").unlink()  # killed before it was done
    assert list(prepare_label_maps(maps, tmp_path / "c")) == ["one: cached", "two: prepared"]
    record = tmp_path / "c" / "one" / "subject.json"
    record.write_text('{"volume_ml": 1500, "preparation": "another"}')  # of an earlier version
    assert list(prepare_label_maps(maps, tmp_path / "c")) == ["one: prepared", "two: cached"]
    assert list(prepare_scans(scans, tmp_path / "c")) == ["sub-1: prepared"]
    assert calls == ["one", "two", "two", "one", "sub-1"]
    people = load_cohort(tmp_path / "c")
    assert [p.name for p in people] == ["one", "sub-1", "two"]
    assert people[1].image is not None
    assert json.loads((tmp_path / "c" / "one" / "subject.json").read_text())["volume_ml"] == 1500.0
