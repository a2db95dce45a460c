"""Healthy people from label maps and from scans: parts never share a person."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.benchmark import healthy_people
from anatomaly.evaluation.benchmark.config import DatasetPlan
from anatomaly.evaluation.benchmark.healthy_people import draw_people
from anatomaly.evaluation.cases import Case
from anatomaly.training.cohort import Subject
from anatomaly.training.synthesis.label_maps import RIM
from anatomaly.volume import PreparedImage
from anatomaly.weights import preparation_hash

BRAIN = np.pad(np.ones((26, 26, 26), bool), 2)


def image(value):
    return (value * BRAIN).astype(np.float32)


def plan(anatomy):
    return DatasetPlan(
        "x", anatomy=anatomy, folder="maps", healthy_set="ixi", healthy_folder="f", train=3,
        validation=2, lesions=1, healthy=1,
    )  # fmt: skip


def test_label_maps_are_shared_out(monkeypatch):
    drawn = []

    def draw(group, shapes, sequence, count, *, kinds, seed):
        assert kinds == ()
        assert shapes == []
        drawn.append(({person.name for person in group}, seed))
        for _ in range(count):
            yield SimpleNamespace(prepared=PreparedImage(image(0.5), BRAIN, "T1w"))

    people = [Subject(f"p{n}", np.zeros((1, 1, 1), np.uint8), None) for n in range(8)]
    monkeypatch.setattr(healthy_people, "load_cohort", lambda path: people)
    monkeypatch.setattr(healthy_people, "draw_validation", draw)
    found = list(draw_people(plan("label_maps"), ("T1w", "T2w"), 4, Path()))
    assert [number for number, sequence, _ in found if sequence == "T2w"] == list(range(7))
    groups = [names for names, _ in drawn[:3]]
    assert set.union(*groups) == {person.name for person in people}
    assert sum(map(len, groups)) == 8
    assert len({seed for _, seed in drawn[:3]}) == 3
    assert found[0][2]().brain_mask.sum() == BRAIN.sum()
    monkeypatch.setattr(healthy_people, "load_cohort", lambda path: people[:2])
    with pytest.raises(EvaluationError, match="three or more"):
        list(draw_people(plan("label_maps"), ("T1w",), 4, Path()))


def test_scans_are_one_a_person(monkeypatch, tmp_path):
    cases = [
        Case(f"p{n}-{visit}", "", "T1w", tmp_path / f"{n}", None, "healthy", "ixi", person=f"p{n}")
        for n in range(7)
        for visit in (1, 2)
    ]
    prepared = SimpleNamespace(image=PreparedImage(image(0.4), BRAIN, "T1w"))
    read = []
    monkeypatch.setattr(healthy_people, "find_cases", lambda *_: SimpleNamespace(cases=cases))
    monkeypatch.setattr(healthy_people, "read_scan", read.append)
    monkeypatch.setattr(healthy_people, "prepare", lambda *_: prepared)
    found = list(draw_people(plan("scans"), ("T1w",), 4, Path()))
    assert read == []  # nobody is prepared before somebody asks
    assert [make().name for *_, make in found][:1] == [found[0][2]().name]
    assert len(found) == len(set(read)) == len({make().name for *_, make in found}) == 7
    del cases[-2:]
    with pytest.raises(EvaluationError, match="6 healthy people with T1w; 7 are needed"):
        list(draw_people(plan("scans"), ("T1w",), 4, Path()))
    cases.clear()
    with pytest.raises(EvaluationError, match="no healthy T1w of ixi"):
        list(draw_people(plan("scans"), ("T1w",), 4, Path()))


@pytest.fixture(name="cohort")
def fixture_cohort(tmp_path, monkeypatch):
    """Heads with parcellations in two folders, whose preparation writes a tiny cache."""
    names = {"train": ("IXI1", "IXI2", "IXI3", "IXI4"), "validation": ("IXI5", "IXI6", "IXI7")}
    for part, people in names.items():
        (tmp_path / part).mkdir()
        for name in people:
            (tmp_path / part / f"{name}_T1w.nii.gz").touch()
            (tmp_path / part / f"{name}_dlmuse.nii.gz").touch()
    (tmp_path / "validation" / "IXI9_T1w.nii.gz").touch()  # has no parcellation

    def prepare(pairs, cache):
        for scan, _ in pairs:
            folder = cache / scan.name.split("_")[0]
            folder.mkdir(parents=True, exist_ok=True)
            labels = np.pad(np.full((26, 26, 26), 3, np.uint8), 2)
            labels[2] = RIM
            np.save(folder / "labels.npy", labels)
            image = np.random.default_rng(0).integers(20, 200, labels.shape)
            np.save(folder / "image.npy", image.astype(np.uint8))
            (folder / "subject.json").write_text(json.dumps({"preparation": preparation_hash()}))
            yield f"{scan.name}: prepared"

    def draw(group, shapes, sequence, count, *, kinds, seed):
        assert (len(group), shapes, count, kinds) == (1, [], 1, ())
        yield SimpleNamespace(prepared=PreparedImage(image(seed % 89 / 100), BRAIN, "T1w"))

    monkeypatch.setattr(healthy_people, "prepare_scans", prepare)
    monkeypatch.setattr(healthy_people, "draw_validation", draw)
    return tmp_path


def test_a_cohort_keeps_its_two_folders_apart(cohort):
    wanted = DatasetPlan(
        "x", anatomy="cohort", folder=str(cohort), train=3, validation=1, lesions=1, healthy=1
    )
    found = list(draw_people(wanted, ("T1w", "T2w"), 4, cohort / "out"))
    assert [(number, sequence) for number, sequence, _ in found[:3]] == [
        (0, "T1w"), (0, "T2w"), (1, "T1w"),
    ]  # fmt: skip
    people = {(number, sequence): make() for number, sequence, make in found}
    names = [people[number, "T1w"].name for number in range(6)]
    assert set(names[:3]) < {"IXI1", "IXI2", "IXI3", "IXI4"}
    assert set(names[3:]) == {"IXI5", "IXI6", "IXI7"}
    assert names == [people[number, "T2w"].name for number in range(6)]
    again = list(draw_people(wanted, ("T1w",), 4, cohort / "out"))
    assert [make().name for *_, make in again] == names
    too_many = DatasetPlan("x", anatomy="cohort", folder=str(cohort), train=1, lesions=9)
    with pytest.raises(EvaluationError, match="3 people could be prepared, 17 needed"):
        list(draw_people(too_many, ("T1w",), 4, cohort / "out"))


def test_t1w_of_a_cohort_is_the_real_one(cohort):
    """As `normalise` makes it: percentiles of the brain to 0 and .8, nothing in the rim."""
    wanted = DatasetPlan(
        "x", anatomy="cohort", folder=str(cohort), train=1, validation=1, lesions=0, healthy=0
    )
    person = next(draw_people(wanted, ("T1w",), 4, cohort / "out"))[2]()
    grey = np.random.default_rng(0).integers(20, 200, (30, 30, 30)).astype(np.float32)
    brain = BRAIN.copy()
    brain[2] = False
    assert (person.brain_mask == brain).all()
    low, high = np.percentile(grey[brain], (0.5, 99.5))
    wanted_image = np.clip(0.8 * (grey - low) / (high - low), 0, 1) * brain
    np.testing.assert_allclose(person.image, wanted_image, atol=1e-6)
