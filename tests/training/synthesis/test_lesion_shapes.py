"""Shapes of real lesions: read from files, cached, and placed in a brain."""

import nibabel as nib
import numpy as np
import pytest
import torch

from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.training.synthesis.lesion_shapes import (
    LesionShape,
    load_shapes,
    paste_shape,
    random_place,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def write_shape(path, first, size, spacing=1.0):
    """A box of lesion in MNI millimetres, on a grid of its own spacing."""
    shape = tuple(int(n / spacing) for n in (160, 192, 160))
    data = np.zeros(shape, np.uint8)
    low = [round(f / spacing) for f in first]
    high = [round((f + s) / spacing) for f, s in zip(first, size, strict=True)]
    data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    affine = TEMPLATE_AFFINE @ np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] += (spacing - 1) / 2  # the corner stays
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


def test_shapes_from_files(tmp_path):
    for number in range(6):
        write_shape(tmp_path / "ms" / f"p{number}.nii.gz", (50 + number, 60, 70), (6, 4, 8))
    write_shape(tmp_path / "ms" / "patient19_x.nii.gz", (90, 90, 90), (6, 6, 6))
    write_shape(tmp_path / "stroke" / "a.nii.gz", (40, 100, 60), (20, 12, 16), spacing=2.0)
    used = load_shapes(tmp_path, tmp_path / "cache")
    held_out = load_shapes(tmp_path, tmp_path / "cache", held_out=True)
    assert [s.kind for s in used] == ["ms"] * 5 + ["stroke"]
    assert [s.kind for s in held_out] == ["ms"]
    for shape, first in zip([*used[:4], held_out[0]], range(5), strict=True):
        where = shape.mask.nonzero() + torch.tensor(shape.start)
        assert where.amin(0).tolist() == [50 + first, 60, 70]
        assert where.amax(0).tolist() == [55 + first, 63, 77]
        assert shape.mask.sum() == 6 * 4 * 8
    coarse = used[5].mask.nonzero() + torch.tensor(used[5].start)
    assert coarse.float().mean(0).tolist() == pytest.approx([49.5, 105.5, 67.5], abs=0.3)
    assert used[5].mask.sum().item() == pytest.approx(20 * 12 * 16, rel=0.1)


def test_shapes_are_cached(tmp_path):
    write_shape(tmp_path / "ms" / "a.nii.gz", (50, 60, 70), (6, 4, 8))
    load_shapes(tmp_path, tmp_path / "cache")
    (tmp_path / "ms" / "a.nii.gz").unlink()
    assert len(load_shapes(tmp_path, tmp_path / "cache")) == 1


def test_no_shapes_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="no lesion shapes"):
        load_shapes(tmp_path, tmp_path / "cache")


def test_places_are_even_over_the_tissue():
    tissue = torch.zeros(5, 6, 7, dtype=torch.bool)
    tissue[1, 2, 3] = tissue[4, 0, 6] = tissue[0, 5, 1] = True
    source = rng()
    drawn = [tuple(random_place(source, tissue).tolist()) for _ in range(600)]
    counts = [drawn.count(place) for place in ((1, 2, 3), (4, 0, 6), (0, 5, 1))]
    assert sum(counts) == 600
    assert all(150 < count < 250 for count in counts)  # 200, spread 12


BOX = LesionShape(torch.ones(9, 8, 7, dtype=torch.uint8), (60, 90, 80), "stroke")


def test_a_shape_is_mostly_pasted_at_its_own_place():
    """The box lies around (24, 23, 33) of the patch: there in .8, else anywhere in the tissue."""
    tissue = torch.zeros(48, 48, 48, dtype=torch.bool)
    tissue[6:-6, 6:-6, 6:-6] = True
    centres, sizes = [], []
    for seed in range(150):
        alpha = paste_shape(rng(seed), [BOX], tissue, (40, 70, 50))
        assert set(alpha.unique().tolist()) <= {0.0, 1.0}
        where = alpha.nonzero().float()
        if len(where):
            centres.append(where.mean(0).numpy())
            sizes.append(len(where))
    away = np.linalg.norm(np.array(centres) - [24, 23.5, 33], axis=1)
    # at home: 4 voxels of spread an axis and the turn of a box of 14 across
    assert 0.65 < np.mean(away < 13) < 0.95
    assert np.abs(np.median(centres, axis=0) - [24, 23.5, 33]).max() < 2.5
    # scaled by .7 to 1.4: 504 voxels become 170 to 1380, the shears change them by less than that
    assert 100 < min(sizes) < 350 and 700 < max(sizes) < 2800
    assert np.median(sizes) == pytest.approx(504, rel=0.4)


def test_a_shape_outside_the_patch_is_pasted_in_its_tissue():
    tissue = torch.zeros(40, 40, 40, dtype=torch.bool)
    tissue[20, 21, 22] = True
    for seed in range(20):
        alpha = paste_shape(rng(seed), [BOX], tissue, (0, 0, 0))
        assert alpha[20, 21, 22] == 1  # a voxel of the shape lies on the place that was drawn
        assert (alpha.nonzero().float() - torch.tensor([20.0, 21, 22])).norm(dim=1).max() < 30
