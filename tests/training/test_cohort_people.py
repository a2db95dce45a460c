"""People of a BIDS folder: split by person, prepared once, a bad one never stops the others."""

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from anatomaly.errors import PreparationError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE
from anatomaly.preprocess.normalise import HIGH_VALUE
from anatomaly.preprocess.template import load_template
from anatomaly.training import cohort_people
from anatomaly.training.cohort import IMAGE_UNIT, load_cohort
from anatomaly.training.cohort_bids import Visit, find_visits
from anatomaly.training.cohort_people import (
    complete_classes,
    is_held_out,
    prepare_people,
    split_visits,
)
from anatomaly.training.synthesis.label_maps import TISSUE_OF_CLASS
from anatomaly.volume import PreparedImage


def visit(person, session=""):
    return Visit(person + session, person, {}, None)


def test_a_split_is_by_person_seeded_and_stable():
    visits = [visit(f"sub-{n}", s) for n in range(200) for s in ("_ses-1", "_ses-2")]
    train, held_out = split_visits(visits, 0.2)
    people = [{v.person for v in side} for side in (train, held_out)]
    assert people[0].isdisjoint(people[1])
    assert len(train) + len(held_out) == 400
    assert 24 <= len(people[1]) <= 58  # 40 expected, three standard deviations
    more, more_out = split_visits([*visits, visit("sub-new")], 0.2)
    assert all(v in more_out for v in held_out) and all(v in more for v in train)
    assert {v.person for v in split_visits(visits, 0.2, seed=1)[1]} != people[1]


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("share", [0.01, 0.9])
def test_small_cohorts_have_somebody_on_both_sides(count, share):
    train, held_out = split_visits([visit(f"sub-{n}") for n in range(count)], share)
    assert train and held_out and len(train) + len(held_out) == count
    assert split_visits([visit("sub-0")], share) == ([visit("sub-0")], [])


def test_nobody_is_held_out_of_none():
    assert split_visits([visit(f"sub-{n}") for n in range(9)], 0.0)[1] == []
    assert not is_held_out("sub-1", 0.0) and is_held_out("sub-1", 1.0)


MEANS = {"T1w": (0, 0.2, 0.55, 0.85), "T2w": (0, 0.9, 0.5, 0.35), "FLAIR": (0, 0.1, 0.7, 0.5)}


def tissue_of_template():
    template = load_template()
    shares = np.stack(
        [template.cerebrospinal_fluid, template.grey_matter.data, template.white_matter.data]
    )
    return np.where(template.brain_mask.data, 1 + shares.argmax(0), 0)


@pytest.fixture(name="folder")
def fixture_folder(tmp_path, monkeypatch):
    """Six people as empty files; what is prepared follows from their names."""
    tissue, calls = tissue_of_template(), []

    def prepare_scan(path, sequence):
        calls.append(path.name)
        if "bad" in path.name or ("half" in path.name and sequence == "T2w"):
            raise PreparationError("the brain could not be found")
        moved = "moved" in path.name and sequence == "T2w"
        seen = np.roll(tissue, 25, axis=1) if moved else tissue
        noise = np.random.default_rng(0).normal(0, 0.03, seen.shape)
        image = np.clip(np.array(MEANS[sequence])[seen] + noise, 0, 1) * (seen > 0)
        registration = SimpleNamespace(scanner_to_template=np.eye(4))
        return SimpleNamespace(
            image=PreparedImage(image.astype(np.float32), seen > 0, sequence),
            trace=SimpleNamespace(registration=registration),
        )

    monkeypatch.setattr(cohort_people, "prepare_scan", prepare_scan)
    for name, sequences in {
        "bad": ["T1w"],
        "both": ["T1w", "T2w"],
        "half": ["T1w", "T2w"],
        "moved": ["T1w", "T2w"],
        "one": ["FLAIR"],
    }.items():
        anat = tmp_path / "bids" / f"sub-{name}" / "anat"
        anat.mkdir(parents=True)
        for sequence in sequences:
            (anat / f"sub-{name}_{sequence}.nii.gz").touch()
    return SimpleNamespace(bids=tmp_path / "bids", cache=tmp_path / "cache", calls=calls)


def test_people_are_prepared_once_and_a_bad_one_is_skipped(folder, monkeypatch):
    monkeypatch.setattr(  # the mixture has its own tests
        cohort_people, "_fit_classes", lambda _, brain: np.where(brain, 9, 0).astype(np.uint8)
    )
    visits = find_visits(folder.bids)
    lines = list(prepare_people(visits, folder.cache))
    assert lines[0] == "sub-bad: skipped: T1w left out: the brain could not be found"
    assert lines[1] == "sub-both: prepared T1w, T2w"
    assert lines[2].startswith("sub-half: prepared T1w; T2w left out: the brain could not")
    assert lines[3].startswith("sub-moved: prepared T1w; T2w left out: its brain overlaps")
    assert lines[4] == "sub-one: prepared FLAIR"
    people = load_cohort(folder.cache)
    assert [(p.name, list(p.images)) for p in people] == [
        ("sub-both", ["T1w", "T2w"]),
        ("sub-half", ["T1w"]),
        ("sub-moved", ["T1w"]),
        ("sub-one", ["FLAIR"]),
    ]
    before = len(folder.calls)
    again = list(prepare_people(visits, folder.cache))
    assert again[1:] == [f"sub-{n}: cached" for n in ("both", "half", "moved", "one")]
    assert folder.calls[before:] == ["sub-bad_T1w.nii.gz"]


def test_what_is_cached_of_a_person(folder):
    (visit,) = [v for v in find_visits(folder.bids) if v.name == "sub-both"]
    list(prepare_people([visit], folder.cache))
    (person,) = load_cohort(folder.cache)
    tissue = tissue_of_template()
    found = TISSUE_OF_CLASS[person.labels]
    assert ((found > 0) == (tissue > 0)).all()
    assert (found == tissue).mean() > 0.97
    ventricles = person.labels == 1
    assert 2000 < ventricles.sum() < 30_000
    assert ventricles[72:88, 110:130, 80:96].mean() > 0.1  # the front horns
    t1w = person.images["T1w"].astype(float) / IMAGE_UNIT
    assert t1w[tissue == 3].mean() == pytest.approx(0.85 / HIGH_VALUE, abs=0.01)
    assert (person.images["T2w"][tissue == 0] == 0).all()
    record = json.loads((folder.cache / "sub-both" / "subject.json").read_text())
    assert record["tissue"] == "mixture" and 1200 < record["volume_ml"] < 2400
    # another scan of the person joins: prepared again
    extra = visit.scans["T1w"].with_name("sub-both_FLAIR.nii.gz")
    extra.touch()
    lines = list(
        prepare_people([v for v in find_visits(folder.bids) if v.name == visit.name], folder.cache)
    )
    assert lines == ["sub-both: prepared T1w, T2w, FLAIR"]


@pytest.mark.parametrize("scheme", ["bids", pytest.param("freesurfer", marks=pytest.mark.slow)])
def test_a_segmentation_is_used_instead(folder, scheme):
    tissue = tissue_of_template()
    table = {"bids": [0, 3, 1, 2], "freesurfer": [0, 24, 3, 2]}[scheme]
    labels = np.array(table, np.int16)[tissue]
    labels[75:85, 95:105, 90:100] = {"bids": 3, "freesurfer": 4}[scheme]
    scan = folder.bids / "sub-one/anat/sub-one_FLAIR.nii.gz"
    for path in (scan, scan.with_name("sub-one_dseg.nii.gz")):
        nib.save(nib.Nifti1Image(labels, TEMPLATE_AFFINE), path)
    (visit,) = [v for v in find_visits(folder.bids) if v.name == "sub-one"]
    assert list(prepare_people([visit], folder.cache)) == ["sub-one: prepared FLAIR"]
    (person,) = load_cohort(folder.cache)
    block = (slice(76, 84), slice(96, 104), slice(91, 99))
    assert (person.labels[block] == 1).all()
    expected = tissue.copy()
    expected[75:85, 95:105, 90:100] = 1
    assert (TISSUE_OF_CLASS[person.labels] == expected).mean() > 0.999


def test_a_segmentation_on_another_grid_is_named(folder):
    scan = folder.bids / "sub-one/anat/sub-one_FLAIR.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((4, 5, 6), np.int16), TEMPLATE_AFFINE), scan)
    dseg = scan.with_name("sub-one_dseg.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((4, 5, 7), np.int16), TEMPLATE_AFFINE), dseg)
    (visit,) = [v for v in find_visits(folder.bids) if v.name == "sub-one"]
    (line,) = prepare_people([visit], folder.cache)
    assert (
        line == "sub-one: skipped: sub-one_dseg.nii.gz is not on the grid of sub-one_FLAIR.nii.gz"
    )


def test_the_brain_is_filled_and_deep_fluid_is_ventricular():
    brain = np.zeros(TEMPLATE_SHAPE, bool)
    brain[40:120, 40:140, 40:120] = True
    classes = np.full(TEMPLATE_SHAPE, 9, np.uint8)
    classes[70:90, 80:100, 70:90] = 2
    classes[40:44] = 2
    classes[100:102, 60:62, 60:62] = 0
    found = complete_classes(classes, brain)
    assert (found[~brain] == 0).all() and (found[brain] > 0).all()
    assert (found[70:90, 80:100, 70:90] == 1).all()
    assert (found[40:44, 45:135, 45:115] == 2).all()
    assert (found[100:102, 60:62, 60:62] == 1).all()  # deep, and no other answer is known
    assert ndimage.label(found == 1)[1] == 2
