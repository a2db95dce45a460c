"""Healthy people to plant lesions into, from what a user has: label maps, or healthy scans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from anatomaly.config import PreprocessConfig
from anatomaly.errors import EvaluationError
from anatomaly.evaluation.benchmark.config import DatasetPlan
from anatomaly.evaluation.benchmark.planting import HealthyPerson
from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.catalogue import find_cases
from anatomaly.preprocess.chain import prepare
from anatomaly.scan.read import read_scan
from anatomaly.training.cohort import Subject, load_cohort
from anatomaly.training.validation import draw_validation
from anatomaly.types import BoolArray, FloatArray, Sequence

DEEP_MM = 10.0
"""Where tissues are not known, lesions are centred this deep in the brain."""


def draw_people(
    plan: DatasetPlan, sequences: tuple[Sequence, ...], seed: int
) -> Iterator[tuple[int, Sequence, HealthyPerson]]:
    """Yield number, sequence and image of each person of a plan whose anatomy is not the template.

    Raises:
        EvaluationError: there are too few people.
        AnatomalyError: label maps or scans cannot be used.
    """
    source = _from_label_maps if plan.anatomy == "label_maps" else _from_scans
    for sequence in sequences:
        for number, person in source(plan, sequence, seed):
            yield number, sequence, person


def healthy_cases(plan: DatasetPlan, sequence: Sequence, seed: int) -> list[Case]:
    """Return one healthy case a person of the plan's healthy set, in a seeded order.

    Raises:
        EvaluationError: the folder holds none.
    """
    found = find_cases(plan.healthy_set, Path(plan.healthy_folder)).cases
    wanted = [case for case in found if case.sequence == sequence and case.label is None]
    people = {case.person: case for case in reversed(wanted)}
    if not people:
        raise EvaluationError(f"{plan.healthy_folder}: no healthy {sequence} of {plan.healthy_set}")
    order = np.random.default_rng([seed, 23]).permutation(len(people))
    names = sorted(people)
    return [people[names[n]] for n in order]


def _from_label_maps(
    plan: DatasetPlan, sequence: Sequence, seed: int
) -> Iterator[tuple[int, HealthyPerson]]:
    """Draw healthy scans from cached people, those of each part from people of its own."""
    people = load_cohort(Path(plan.folder))
    counts = (plan.train, plan.validation, plan.lesions + plan.healthy)
    number = 0
    for part, (group, count) in enumerate(zip(_in_three(people), counts, strict=True)):
        drawn = (
            draw_validation(group, [], sequence, count, healthy=True, seed=seed * 10 + part)
            if count
            else iter(())
        )
        for scan in drawn:
            yield number, _person(scan.image, scan.brain_mask)
            number += 1


def _in_three(people: list[Subject]) -> tuple[list[Subject], list[Subject], list[Subject]]:
    """Share people out: half to learn from, a quarter each for thresholds and the test."""
    if len(people) < 3:
        raise EvaluationError(f"{len(people)} people with label maps; three or more are needed")
    quarter = max(1, len(people) // 4)
    return people[: -2 * quarter], people[-2 * quarter : -quarter], people[-quarter:]


def _from_scans(
    plan: DatasetPlan, sequence: Sequence, seed: int
) -> Iterator[tuple[int, HealthyPerson]]:
    """Prepare healthy scans, one a person."""
    cases = healthy_cases(plan, sequence, seed)
    needed = plan.train + plan.validation + plan.lesions + plan.healthy
    if len(cases) < needed:
        raise EvaluationError(f"{len(cases)} healthy people with {sequence}; {needed} are needed")
    for number, case in enumerate(cases[:needed]):
        prepared = prepare(read_scan(case.scan), PreprocessConfig(), sequence)
        yield number, _person(prepared.image.data, prepared.brain_mask.data)


def _person(image: FloatArray, brain_mask: BoolArray) -> HealthyPerson:
    depth = ndimage.distance_transform_edt(brain_mask)
    deep = np.asarray(depth > DEEP_MM).astype(np.float32)
    return HealthyPerson(image.astype(np.float32), brain_mask > 0, deep)
