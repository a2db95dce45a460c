"""Atlas labels and the name tables of the common tools."""

import nibabel as nib
import numpy as np
import pytest

from anatomaly.anomaly.atlas import REACH_MM, Atlas, load_atlas
from anatomaly.errors import ConfigError
from anatomaly.geometry import apply_affine
from anatomaly.volume import Volume

AFFINE = np.array([[-1.5, 0.2, 0, 40], [0.1, 2.0, 0, -50], [0, 0, 2.5, -30], [0, 0, 0, 1.0]])


def label_image() -> np.ndarray:
    labels = np.zeros((21, 17, 13), np.int16)
    labels[4:9, 5:9, 3:7] = 3
    labels[12:16, 5:9, 3:7] = 40
    return labels


def save(folder, data, table=None, ending=".tsv"):
    nib.save(nib.Nifti1Image(data, AFFINE), folder / "atlas.nii.gz")
    if table is not None:
        (folder / f"atlas{ending}").write_text(table)
    return folder / "atlas.nii.gz"


@pytest.mark.parametrize(
    ("ending", "table"),
    [
        (".tsv", "index\tname\tcolor\n3\tLeft insula\t#ff0000\n40\tPons\t#00ff00\n"),
        (".tsv", "3\tLeft insula\n40\tPons\n"),
        (".csv", "LabelValue,Name,Color_R\n3,Left insula,1\n40,Pons,2\n"),
        (
            ".txt",
            '# ITK-SNAP\n0 0 0 0 0 0 0 "Clear"\n'
            '3 255 0 0 1 1 1 "Left insula"\n40 0 1 0 1 1 1 "Pons"',
        ),
        (".txt", "#No. Label Name: R G B A\n\n3   Left insula   250 10 1 0\n40  Pons  1 2 3 0\n"),
        (".lut", "3 0.93 0.40 0.12 Left insula\n40 0.1 0.2 0.3 Pons\n"),
    ],
    ids=["bids", "headless", "slicer", "itk-snap", "freesurfer", "fsl"],
)
def test_name_tables(tmp_path, ending, table):
    atlas = load_atlas(save(tmp_path, label_image(), table, ending))
    assert (atlas.names[3], atlas.names[40]) == ("Left insula", "Pons")
    inside = apply_affine(AFFINE, np.array([13.0, 6.0, 5.0]))
    assert atlas.region_at(tuple(inside)) == "Pons"


def test_nearest_label_equals_a_search_over_all_voxels():
    rng = np.random.default_rng(7)
    atlas = Atlas(Volume(label_image(), AFFINE), {3: "a", 40: "b"})
    voxels = np.argwhere(atlas.labels.data)
    world = apply_affine(AFFINE, voxels.astype(float))
    found = {"": 0, "a": 0, "b": 0}
    for voxel in rng.uniform((0, 2, 0), (20, 12, 10), (400, 3)):
        point = apply_affine(AFFINE, voxel)
        distance = np.linalg.norm(world - point, axis=1)
        label = atlas.labels.data[tuple(voxels[distance.argmin()])]
        expected = atlas.names[int(label)] if distance.min() <= REACH_MM else ""
        assert atlas.region_at(tuple(point)) == expected
        found[expected] += 1
    assert min(found.values()) > 20  # all three outcomes were really tried


def test_label_without_a_name_says_its_number(tmp_path):
    atlas = load_atlas(save(tmp_path, label_image()))
    assert atlas.region_at(tuple(apply_affine(AFFINE, np.array([6.0, 6.0, 5.0])))) == "label 3"


def test_far_outside_the_atlas_is_no_region():
    atlas = Atlas(Volume(label_image(), AFFINE), {})
    assert atlas.region_at((900.0, -900.0, 0.0)) == ""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.random.default_rng(0).uniform(0, 1, (5, 6, 7)).astype(np.float32), "whole numbers"),
        (np.zeros((5, 6, 7, 3), np.int16), "not a 3D label image"),
        (np.zeros((5, 6, 7), np.int16), "holds no label"),
        (np.full((5, 6, 7), np.nan, np.float32), "whole numbers"),
        (np.full((5, 6, 7), -2, np.int16), "whole numbers"),
    ],
    ids=["probabilities", "4d", "empty", "nan", "negative"],
)
def test_images_that_are_no_atlas(tmp_path, data, message):
    with pytest.raises(ConfigError, match=message):
        load_atlas(save(tmp_path, data))


def test_missing_file_text_and_empty_table(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_atlas(tmp_path / "none.nii.gz")
    (tmp_path / "text.nii.gz").write_text("hello")
    with pytest.raises(ConfigError, match="not a 3D label image"):
        load_atlas(tmp_path / "text.nii.gz")
    with pytest.raises(ConfigError, match="index"):
        load_atlas(save(tmp_path, label_image(), "nothing here\n"))
