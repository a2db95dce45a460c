"""The lesion table against known spheres and against a brute-force count."""

import csv

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anatomaly.anomaly.atlas import Atlas
from anatomaly.anomaly.lesions import (
    LESION_COLUMNS,
    tabulate_lesions,
    write_lesions_tsv,
)
from anatomaly.components import number_lesions
from anatomaly.errors import GeometryError
from anatomaly.geometry import apply_affine
from anatomaly.volume import Volume

SHAPE = (61, 47, 33)
SPACING = np.array([0.8, 1.1, 2.3])


def oblique_affine() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [14, -9, 21], degrees=True).as_matrix() * SPACING
    affine[:3, :3] @= np.diag([-1, 1, 1])  # a left-handed grid, as most scanners write it
    affine[:3, 3] = (31.0, -42.5, -17.0)
    return affine


def template_transform() -> np.ndarray:
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_euler("z", 12, degrees=True).as_matrix() * 1.07
    transform[:3, 3] = (-4.0, 11.0, 6.5)
    return transform


@pytest.fixture(name="spheres")
def fixture_spheres() -> dict:
    """Two spheres, 9 and 6 mm: the large one darker, the small one brighter than expected."""
    affine = oblique_affine()
    points = apply_affine(affine, np.stack(np.indices(SHAPE), -1).astype(float))
    mask = np.zeros(SHAPE, np.uint8)
    residual = np.full(SHAPE, 0.3, np.float32)
    score = np.zeros(SHAPE, np.float32)
    centres = [apply_affine(affine, np.array(c)) for c in ((18.2, 22.7, 16.1), (47.0, 20.0, 17.5))]
    for centre, radius, sign, peak in zip(centres, (9.0, 6.0), (-1, 1), (0.6, 0.9), strict=True):
        distance = np.linalg.norm(points - centre, axis=-1)
        inside = distance <= radius
        mask[inside] = 1
        residual[inside] = sign * 0.2
        score[inside] = peak * (1 - distance[inside] / (2 * radius))
    return {"affine": affine, "mask": mask, "residual": residual, "score": score, "at": centres}


def table(spheres: dict, atlas: Atlas | None = None) -> tuple:
    volumes = (Volume(spheres[name], spheres["affine"]) for name in ("score", "mask", "residual"))
    return tabulate_lesions(*volumes, template_transform(), atlas)


def test_numbers_of_voxels_are_those_of_the_table(spheres):
    numbered = number_lesions(spheres["mask"])
    for lesion in table(spheres):
        here = numbered == lesion.number
        volume_mm3 = here.sum() * np.prod(SPACING)
        assert volume_mm3 == pytest.approx(lesion.volume_mm3)
        centre = apply_affine(spheres["affine"], np.argwhere(here).mean(axis=0))
        np.testing.assert_allclose(centre, lesion.centre_scanner_mm, atol=1e-6)
    np.testing.assert_array_equal(numbered > 0, spheres["mask"] > 0)


def test_known_spheres_on_an_oblique_anisotropic_grid(spheres):
    lesions = table(spheres)

    assert [lesion.number for lesion in lesions] == [1, 2]
    assert [lesion.polarity for lesion in lesions] == ["darker", "brighter"]
    for lesion, centre, radius in zip(lesions, spheres["at"], (9.0, 6.0), strict=True):
        # 4 %: what counting 2 mm3 voxels of a 900 mm3 sphere can be off
        assert lesion.volume_mm3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.04)
        # a tenth of a voxel diagonal
        assert np.linalg.norm(np.subtract(lesion.centre_scanner_mm, centre)) < 0.25
        mni = apply_affine(template_transform(), np.array(lesion.centre_scanner_mm))
        np.testing.assert_allclose(lesion.centre_mni_mm, mni, atol=1e-9)


def test_every_number_equals_a_brute_force_count(spheres):
    lesions = table(spheres)
    left = np.stack(np.indices(SHAPE), -1)[..., 0] < 33  # the plane between the two spheres

    for lesion, side in zip(lesions, (left, ~left), strict=True):
        inside = (spheres["mask"] > 0) & side
        voxels = np.argwhere(inside)
        assert lesion.volume_mm3 == pytest.approx(len(voxels) * SPACING.prod(), rel=1e-9)
        world = [spheres["affine"] @ (*voxel, 1) for voxel in voxels]
        np.testing.assert_allclose(lesion.centre_scanner_mm, np.mean(world, 0)[:3], atol=1e-9)
        assert lesion.mean_score == pytest.approx(spheres["score"][inside].mean(), rel=1e-6)
        assert lesion.peak_score == pytest.approx(spheres["score"][inside].max(), rel=1e-6)


def test_corner_neighbours_are_one_lesion_and_a_gap_makes_two(spheres):
    mask = np.zeros(SHAPE, np.uint8)
    mask[3, 3, 3] = mask[4, 4, 4] = 1
    mask[10, 3, 3] = mask[12, 3, 3] = 1
    sizes = [
        round(lesion.volume_mm3 / SPACING.prod()) for lesion in table({**spheres, "mask": mask})
    ]
    assert sizes == [2, 1, 1]


def test_equal_volumes_keep_the_order_of_the_grid(spheres):
    mask = np.zeros(SHAPE, bool)
    mask[50, 3, 3] = mask[2, 3, 3] = True
    first, second = table({**spheres, "mask": mask})
    affine = spheres["affine"]
    assert first.centre_scanner_mm == pytest.approx(apply_affine(affine, np.array([2, 3, 3.0])))
    assert second.centre_scanner_mm == pytest.approx(apply_affine(affine, np.array([50, 3, 3.0])))


def test_empty_mask_gives_no_lesion_and_a_header_alone(spheres, tmp_path):
    lesions = table({**spheres, "mask": np.zeros(SHAPE, np.uint8)})
    assert lesions == ()
    write_lesions_tsv(tmp_path / "lesions.tsv", lesions)
    assert (tmp_path / "lesions.tsv").read_text() == "\t".join(LESION_COLUMNS) + "\n"


def test_other_grid_is_refused(spheres):
    moved = oblique_affine()
    moved[0, 3] += 1
    volume = Volume(spheres["score"], spheres["affine"])
    with pytest.raises(GeometryError, match="residual"):
        tabulate_lesions(volume, volume, Volume(spheres["residual"], moved), np.eye(4))
    with pytest.raises(GeometryError, match="anomaly_mask"):
        tabulate_lesions(volume, Volume(spheres["mask"][1:], moved), volume, np.eye(4))


def test_region_is_taken_at_the_template_centre(spheres):
    lesions = table(spheres)
    labels = np.zeros((40, 40, 40), np.int32)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = np.array(lesions[1].centre_mni_mm) - (40, 20, 60)
    labels[20, 10, 30] = 12
    regions = [
        lesion.region for lesion in table(spheres, Atlas(Volume(labels, affine), {12: "Insula"}))
    ]
    assert regions == ["", "Insula"]


def test_tsv_holds_what_the_table_holds(spheres, tmp_path):
    lesions = table(spheres)
    write_lesions_tsv(tmp_path / "lesions.tsv", lesions)
    with (tmp_path / "lesions.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert tuple(rows[0]) == LESION_COLUMNS
    assert [row["polarity"] for row in rows] == ["darker", "brighter"]
    for row, lesion in zip(rows, lesions, strict=True):
        assert float(row["volume_mm3"]) == pytest.approx(lesion.volume_mm3, abs=0.05)
        written = [float(row[f"{axis}_mni_mm"]) for axis in "xyz"]
        assert written == pytest.approx(lesion.centre_mni_mm, abs=0.005)
        assert float(row["peak_score"]) == pytest.approx(lesion.peak_score, abs=5e-5)
        assert row["region"] == lesion.region == lesion.place.region != ""
        assert row["region_shares"].startswith(f"{lesion.region} 0.")
        assert row["periventricular"] == row["juxtacortical"] == ""  # no tissue map was given
        assert row["infratentorial"] == "no"
