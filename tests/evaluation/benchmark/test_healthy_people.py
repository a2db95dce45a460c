"""Healthy people from label maps and from scans: parts never share a person."""

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

    def draw(group, shapes, sequence, count, *, healthy, seed):
        assert healthy
        assert shapes == []
        drawn.append(({person.name for person in group}, seed))
        for _ in range(count):
            yield SimpleNamespace(image=image(0.5), brain_mask=BRAIN)

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
    prepared = SimpleNamespace(
        image=SimpleNamespace(data=image(0.4)), brain_mask=SimpleNamespace(data=BRAIN)
    )
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
