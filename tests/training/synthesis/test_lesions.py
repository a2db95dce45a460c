"""Lesions: where they lie, what they change, how bright they are; shapes from files."""

import nibabel as nib
import numpy as np
import pytest
import torch

from anatomaly.errors import TrainingError
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.training.synthesis.contrast import CORTEX, CSF, WHITE, draw_contrast
from anatomaly.training.synthesis.lesions import Lesion, draw_lesion, load_shapes, paint_lesion

START = (40, 60, 50)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def patch():
    """White matter in cortex in sulcal CSF in background."""
    grid = torch.stack(torch.meshgrid(*[torch.arange(40.0)] * 3, indexing="ij")) - 19.5
    radius = grid.norm(dim=0)
    classes = torch.zeros(40, 40, 40, dtype=torch.uint8)
    for edge, index in ((19, CSF), (17, CORTEX), (13, WHITE)):
        classes[radius < edge] = index
    return classes, radius


@pytest.fixture(name="drawn", scope="module")
def fixture_drawn(shapes):
    return [draw_lesion(rng(seed), shapes, patch()[0], START) for seed in range(80)]


def test_kinds_come_in_their_shares(drawn):
    kinds = [lesion.kind for lesion in drawn]
    assert set(kinds) == {"stroke", "ms", "tumour", "spots", "none"}
    assert 4 <= kinds.count("none") <= 22  # .15 of 80
    assert 10 <= kinds.count("stroke") <= 34  # .27


def test_lesions_stay_in_the_brain(drawn):
    _, radius = patch()
    for lesion in drawn:
        assert lesion.alpha.min() >= 0 and lesion.alpha.max() <= 1
        assert lesion.alpha[radius > 21].max() < 1e-3  # the soft border reaches two voxels
        assert lesion.alpha[radius > 19.9].max() < 0.5
        assert bool(lesion.alpha.any()) == (lesion.kind != "none")
    visible = sum(bool(lesion.alpha.max() > 0.3) for lesion in drawn)
    assert visible > 0.6 * len(drawn)


def test_only_some_tumours_have_a_core(drawn):
    with_core = [lesion for lesion in drawn if lesion.core.any()]
    assert {lesion.kind for lesion in with_core} == {"tumour"}
    assert len(with_core) < sum(lesion.kind == "tumour" for lesion in drawn)


def test_no_lesion_without_enough_tissue(shapes):
    classes = torch.zeros(40, 40, 40, dtype=torch.uint8)
    classes[:10, :10, :10] = CORTEX
    for seed in range(10):
        assert draw_lesion(rng(seed), shapes, classes, START).kind == "none"


def test_without_shapes_the_drawn_kinds_remain():
    kinds = {draw_lesion(rng(seed), [], patch()[0], START).kind for seed in range(30)}
    assert kinds == {"tumour", "spots", "none"}


def test_a_seed_repeats(shapes):
    first, second = (draw_lesion(rng(3), shapes, patch()[0], START) for _ in range(2))
    assert torch.equal(first.alpha, second.alpha)


def box_lesion(core=False):
    alpha = torch.zeros(40, 40, 40)
    alpha[15:25, 15:25, 15:25] = 1.0
    inner = torch.zeros_like(alpha)
    if core:
        inner[18:22, 18:22, 18:22] = 1.0
    return Lesion(alpha, inner, "tumour")


def test_painting_changes_the_lesion_only():
    image = torch.rand(40, 40, 40)
    lesion = box_lesion(core=True)
    before = image.clone()
    painted = paint_lesion(rng(), image, lesion, draw_contrast(rng(1), "T1w"))
    assert torch.equal(image, before)
    assert torch.equal(painted[lesion.alpha == 0], image[lesion.alpha == 0])
    assert (painted - image)[lesion.alpha == 1].abs().mean() > 0.02


def test_half_alpha_is_half_way():
    image, contrast = torch.zeros(40, 40, 40), draw_contrast(rng(1), "T2w")
    whole = box_lesion()
    half = Lesion(whole.alpha / 2, whole.core, whole.kind)
    first, second = (paint_lesion(rng(5), image, k, contrast) for k in (whole, half))
    torch.testing.assert_close(first, 2 * second)


@pytest.mark.parametrize(("sequence", "brighter", "share"), [("T1w", 0, 0.93), ("T2w", 1, 0.95)])
def test_direction_against_white_matter(sequence, brighter, share):
    as_said = []
    for seed in range(150):
        contrast = draw_contrast(rng(seed), sequence)
        painted = paint_lesion(rng(seed + 1000), torch.zeros(40, 40, 40), box_lesion(), contrast)
        mean = painted[15:25, 15:25, 15:25].mean()
        as_said.append(bool(mean > contrast.means[WHITE]) == bool(brighter))
    assert share - 0.08 < np.mean(as_said) < 1.0


def test_flair_lesions_are_brighter_than_grey_matter():
    for seed in range(60):
        contrast = draw_contrast(rng(seed), "FLAIR")
        painted = paint_lesion(rng(seed + 1000), torch.zeros(40, 40, 40), box_lesion(), contrast)
        assert painted[15:25, 15:25, 15:25].mean() > contrast.means[CORTEX]


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
