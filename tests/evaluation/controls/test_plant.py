"""Planted lesions: as large, as strong and where they were told to be."""

import numpy as np
import pytest

from anatomaly.evaluation.controls.plant import (
    PLACES,
    Planned,
    find_places,
    plant_at_places,
)
from anatomaly.preprocess.template import load_template
from anatomaly.volume import PreparedImage

GREY_LEVEL = np.array([0.0, 0.1, 0.5, 0.7], np.float32)


@pytest.fixture(name="healthy", scope="module")
def fixture_healthy():
    """The template as a person: tissue map, brain, a T1w image without noise."""
    template = load_template()
    shares = np.stack(
        [template.cerebrospinal_fluid, template.grey_matter.data, template.white_matter.data]
    )
    brain = template.brain_mask.data > 0
    tissue = np.where(brain, 1 + shares.argmax(0), 0).astype(np.uint8)
    return PreparedImage(GREY_LEVEL[tissue], brain, "T1w"), tissue


def places_of(healthy):
    prepared, tissue = healthy
    return find_places(tissue, prepared.brain_mask)


def test_every_place_is_there_and_they_do_not_meet(healthy):
    prepared, tissue = healthy
    places = find_places(tissue, prepared.brain_mask)
    assert list(places) == list(PLACES)
    assert all(place.sum() > 2000 for place in places.values())
    total = np.sum([place for place in places.values()], axis=0)
    assert total.max() == 1
    heights = {name: np.argwhere(place)[:, 2].mean() for name, place in places.items()}
    assert heights["infratentorial"] < min(h for n, h in heights.items() if n != "infratentorial")


def test_a_lesion_is_what_was_planned(healthy):
    prepared, tissue = healthy
    plans = [
        Planned(3.0, 0.4, "deep white matter"),
        Planned(1.0, 0.4, "periventricular"),
        Planned(0.3, 0.4, "infratentorial"),
    ]
    image, lesions = plant_at_places(
        prepared, tissue, places_of(healthy), plans, np.random.default_rng(5)
    )
    assert [lesion.plan for lesion in lesions] == plans
    for lesion in lesions:
        assert len(lesion.core) / 1000 == pytest.approx(lesion.plan.size_ml, rel=0.05)
    change = image.image - prepared.image
    first = change.flat[lesions[0].core]
    deep = tissue.flat[lesions[0].core] == 3
    # .4 of the white matter's .7, less where the lesion fades
    assert -0.29 < np.median(first[deep]) < -0.2
    everything = np.concatenate([lesion.core for lesion in lesions])
    assert len(everything) == len(set(everything.tolist()))
    assert (change[~prepared.brain_mask] == 0).all()
    assert image.image.min() >= 0 and image.image.max() <= 1


def test_brighter_where_lesions_are_brighter_and_the_same_for_a_seed(healthy):
    prepared, tissue = healthy
    flair = PreparedImage(prepared.image, prepared.brain_mask, "FLAIR")
    plan, places = [Planned(1.0, 0.2, "deep white matter")], places_of(healthy)
    (one, [lesion]), (two, _) = (
        plant_at_places(flair, tissue, places, plan, np.random.default_rng(1)) for _ in range(2)
    )
    np.testing.assert_array_equal(one.image, two.image)
    change = (one.image - flair.image).flat[lesion.core]
    assert change[tissue.flat[lesion.core] == 3].mean() > 0.05


def test_what_finds_no_room_is_left_out(healthy):
    prepared, tissue = healthy
    plans = [Planned(400.0, 0.4, "deep white matter"), Planned(0.3, 0.4, "deep grey")]
    _, lesions = plant_at_places(
        prepared, tissue, places_of(healthy), plans, np.random.default_rng(2)
    )
    assert [lesion.plan.size_ml for lesion in lesions] == [0.3]
