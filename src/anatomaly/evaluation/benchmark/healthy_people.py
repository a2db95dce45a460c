"""Healthy people to plant lesions into, from what a user has: label maps, or healthy scans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias
from zlib import crc32

import numpy as np

from anatomaly.config import PreprocessConfig
from anatomaly.errors import EvaluationError
from anatomaly.evaluation.benchmark.config import DatasetPlan
from anatomaly.evaluation.benchmark.planting import HealthyPerson
from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.catalogue import find_cases
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.preprocess.chain import prepare
from anatomaly.preprocess.normalise import normalise_intensity
from anatomaly.scan.read import read_scan
from anatomaly.training.cohort import Subject, is_cached, load_cohort, prepare_scans
from anatomaly.training.synthesis.label_maps import RIM
from anatomaly.training.validation import HEALTHY, draw_validation
from anatomaly.types import BoolArray, FloatArray, MrSequence
from anatomaly.volume import Volume

MakePerson: TypeAlias = Callable[[], HealthyPerson]


def draw_people(
    plan: DatasetPlan, sequences: tuple[MrSequence, ...], seed: int, folder: Path
) -> Iterator[tuple[int, MrSequence, MakePerson]]:
    """Yield number and sequence of each image of a plan whose anatomy is not the template.

    With them what makes the image, so that one which is there already need not be made again.

    Args:
        plan: of the data set.
        sequences: of the images.
        seed: of the benchmark.
        folder: of the data set; people of a cohort are prepared once, in `people` below it.

    Raises:
        EvaluationError: there are too few people.
        AnatomalyError: label maps or scans cannot be used.
    """
    if plan.anatomy == "cohort":
        yield from _from_cohort(plan, sequences, seed, folder / "people")
        return
    source = _from_label_maps if plan.anatomy == "label_maps" else _from_scans
    for sequence in sequences:
        yield from ((number, sequence, make) for number, make in source(plan, sequence, seed))


def healthy_cases(plan: DatasetPlan, sequence: MrSequence, seed: int) -> list[Case]:
    """Return one healthy case a person of the plan's healthy set, in a seeded order.

    Raises:
        EvaluationError: the folder holds none.
    """
    all_cases = find_cases(plan.healthy_set, Path(plan.healthy_folder)).cases
    wanted = [case for case in all_cases if case.sequence == sequence and case.label is None]
    people = {case.person: case for case in reversed(wanted)}
    if not people:
        raise EvaluationError(f"{plan.healthy_folder}: no healthy {sequence} of {plan.healthy_set}")
    order = np.random.default_rng([seed, 23]).permutation(len(people))
    names = sorted(people)
    return [people[names[n]] for n in order]


def _from_label_maps(
    plan: DatasetPlan, sequence: MrSequence, seed: int
) -> Iterator[tuple[int, MakePerson]]:
    """Draw healthy scans from cached people, those of each part from people of its own."""
    people = load_cohort(Path(plan.folder))
    counts = (plan.train, plan.validation, plan.lesions + plan.healthy)
    number = 0
    for part, (group, count) in enumerate(zip(_in_three(people), counts, strict=True)):
        own_seed = seed * 10 + part
        scans = draw_validation(group, [], sequence, count, kinds=HEALTHY, seed=own_seed)
        for scan in scans if count else ():
            yield number, partial(_person, scan.prepared.image, scan.prepared.brain_mask)
            number += 1


def _in_three(people: list[Subject]) -> tuple[list[Subject], list[Subject], list[Subject]]:
    """Share people out: half to learn from, a quarter each for thresholds and the test."""
    if len(people) < 3:
        raise EvaluationError(f"{len(people)} people with label maps; three or more are needed")
    quarter = max(1, len(people) // 4)
    return people[: -2 * quarter], people[-2 * quarter : -quarter], people[-quarter:]


def _from_scans(
    plan: DatasetPlan, sequence: MrSequence, seed: int
) -> Iterator[tuple[int, MakePerson]]:
    """Prepare healthy scans, one a person."""
    cases = healthy_cases(plan, sequence, seed)
    needed = plan.train + plan.validation + plan.lesions + plan.healthy
    if len(cases) < needed:
        raise EvaluationError(f"{len(cases)} healthy people with {sequence}; {needed} are needed")
    for number, case in enumerate(cases[:needed]):
        yield number, partial(_prepared_person, case)


def _prepared_person(case: Case) -> HealthyPerson:
    image = prepare(read_scan(case.scan), PreprocessConfig(), case.sequence).image
    return _person(image.image, image.brain_mask, case.person)


def _from_cohort(
    plan: DatasetPlan, sequences: tuple[MrSequence, ...], seed: int, people: Path
) -> Iterator[tuple[int, MrSequence, MakePerson]]:
    """Yield people with their T1w as it is and other sequences drawn; each is there once."""
    number = 0
    tested = plan.validation + plan.lesions + plan.healthy
    for part, count in (("train", plan.train), ("validation", tested)):
        for subject in _prepared_cohort(Path(plan.folder) / part, people / part, count, seed):
            for sequence in sequences:
                yield number, sequence, partial(_as_person, subject, sequence, seed)
            number += 1


def _prepared_cohort(folder: Path, cache: Path, count: int, seed: int) -> list[Subject]:
    """Prepare so many people of a folder, in a seeded order."""
    scans = sorted(folder.glob("*_T1w.nii.gz"))
    pairs = [(s, s.with_name(s.name.replace("_T1w", "_dlmuse"))) for s in scans]
    pairs = [pair for pair in pairs if pair[1].is_file()]
    order = np.random.default_rng([seed, 29]).permutation(len(pairs))
    names: list[str] = []
    for scan, parcellation in (pairs[n] for n in order):
        name = scan.name.split("_")[0]  # as `prepare_scans` calls its people
        if len(names) < count:
            list(prepare_scans([(scan, parcellation)], cache))
            names += [name] if is_cached(cache / name) else []
    if len(names) < count:
        raise EvaluationError(f"{folder}: {len(names)} people could be prepared, {count} needed")
    people = {subject.name: subject for subject in load_cohort(cache)} if names else {}
    return [people[name] for name in names]


def _as_person(subject: Subject, sequence: MrSequence, seed: int) -> HealthyPerson:
    """Return a real T1w, normalised as scans are, or the person drawn in another sequence."""
    if sequence == "T1w" and subject.image is not None:
        inside = (subject.labels > 0) & (subject.labels != RIM)
        brain = Volume(inside, TEMPLATE_AFFINE)
        image, _ = normalise_intensity(brain.with_data(subject.image.astype(np.float32)), brain)
        return _person(image.data, inside, subject.name)
    own_seed = seed + crc32(subject.name.encode())
    drawn = draw_validation([subject], [], sequence, 1, kinds=HEALTHY, seed=own_seed)
    scan = next(drawn).prepared
    return _person(scan.image, scan.brain_mask, subject.name)


def _person(image: FloatArray, brain_mask: BoolArray, name: str = "") -> HealthyPerson:
    return HealthyPerson(image.astype(np.float32), brain_mask > 0, name=name)
