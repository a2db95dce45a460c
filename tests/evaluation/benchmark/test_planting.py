"""Planted lesions have the size, contrast, place and push that were asked for."""

import numpy as np
import pytest

from anatomaly.errors import ConfigError
from anatomaly.evaluation.benchmark.planting import HealthyPerson, LesionRanges, plant_lesions
from anatomaly.geometry import TEMPLATE_AFFINE, apply_affine

SHAPE, CENTRE = (80, 80, 130), (40, 40, 90)
"""Part of the working grid, high enough for a lesion of the cerebrum."""

PLACE = tuple(apply_affine(TEMPLATE_AFFINE, np.array([46.0, 40.0, 92.0])).tolist())


@pytest.fixture(name="person", scope="module")
def fixture_person():
    """A ball of white matter with a bright plane, whose shift tells a push."""
    axes = np.ogrid[tuple(slice(n) for n in SHAPE)]
    away = np.sqrt(sum((a - n) ** 2 for a, n in zip(axes, CENTRE, strict=True)))
    brain = away < 38
    image = (0.6 * brain + np.random.default_rng(0).normal(0, 0.01, brain.shape) * brain).clip(0, 1)
    return HealthyPerson(image.astype(np.float32), brain, (away < 30).astype(np.float32))


def ranges(**changes):
    return LesionRanges(
        **{"count": (1, 1), "volume_ml": (2, 2), "contrast": (0.2, 0.2), "place_mm": PLACE}
        | changes
    )


def test_size_contrast_and_place(person):
    bright = plant_lesions(person, "FLAIR", ranges(), np.random.default_rng(1))
    dark = plant_lesions(person, "T1w", ranges(), np.random.default_rng(1))
    assert bright.lesion.sum() == pytest.approx(2000, rel=0.03)
    centre = apply_affine(TEMPLATE_AFFINE, np.argwhere(bright.lesion).mean(0))
    assert np.linalg.norm(centre - np.array(PLACE)) < 8
    core = bright.image[bright.lesion].max(), dark.image[dark.lesion].min()
    assert core[0] == pytest.approx(0.8, abs=0.05)
    assert core[1] == pytest.approx(0.4, abs=0.05)
    np.testing.assert_array_equal(bright.lesion, dark.lesion)
    far = ~bright.lesion & (np.abs(bright.image - person.image) > 0.05)
    assert far.sum() < 2 * bright.lesion.sum()  # a soft rim, nothing else


def test_a_push_moves_what_lies_around(person):
    marked = person.image.copy()
    marked[:, 46:49] *= 0.3
    marked = HealthyPerson(marked, person.brain_mask, person.white)
    there = np.argwhere(plant_lesions(marked, "FLAIR", ranges(), np.random.default_rng(1)).lesion)
    still = plant_lesions(marked, "FLAIR", ranges(), np.random.default_rng(1)).image
    moved = plant_lesions(marked, "FLAIR", ranges(push_mm=(3, 3)), np.random.default_rng(1)).image
    i, _, k = there.mean(0).round().astype(int)
    column = [image[i, :, k] for image in (still, moved)]
    changed = np.abs(column[1] - column[0]) > 0.1
    assert changed.any()
    assert not ((moved > 0) & ~person.brain_mask).any()


def test_real_shapes_are_scaled_to_the_volume(person):
    shape = np.zeros((9, 30, 5), bool)
    shape[2:7, 2:28, 1:4] = True
    planted = plant_lesions(person, "FLAIR", ranges(), np.random.default_rng(2), [shape])
    assert planted.lesion.sum() == pytest.approx(2000, rel=0.35)
    extent = np.ptp(np.argwhere(planted.lesion), axis=0) + 1
    assert extent[1] > 3 * extent[2]


def test_the_same_seed_the_same_lesion(person):
    anywhere = ranges(place_mm=None)
    one, same, other = (
        plant_lesions(person, "T2w", anywhere, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.image, same.image)
    assert (one.lesion != other.lesion).any()


def test_what_is_refused(person):
    with pytest.raises(ConfigError, match="outside the cerebrum"):
        plant_lesions(person, "T1w", ranges(place_mm=(0, 0, -20)), np.random.default_rng(0))
    with pytest.raises(ConfigError, match="contrast must be two rising"):
        LesionRanges(contrast=(0.5, 1.5))
