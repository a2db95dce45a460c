"""Drawn people for a benchmark: healthy brains, and lesions planted into some of them.

From nilearn's tissue maps alone (`template`), from label maps of people, or from healthy scans.
Image and label lie in files of their own, so that an image is read without its label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.benchmark.config import DatasetPlan
from anatomaly.evaluation.benchmark.healthy_people import draw_people
from anatomaly.evaluation.benchmark.ledger import save_arrays
from anatomaly.evaluation.benchmark.planting import HealthyPerson, plant_lesions
from anatomaly.evaluation.benchmark.scans import BenchmarkScan, OpenedScan, Parts, Truth
from anatomaly.evaluation.experiments.drawn_brains import draw_brain, means_of, render
from anatomaly.geometry import TEMPLATE_AFFINE
from anatomaly.training.synthesis.lesion_shapes import load_shapes
from anatomaly.types import SEQUENCES, BoolArray, MrSequence
from anatomaly.volume import PreparedImage, Volume

PARTS = Parts._fields


class DrawPlan(NamedTuple):
    """What a process that draws people has to know.

    Attributes:
        plan: of the data set.
        sequences: of the images of one person.
        folder: of the data set; a subfolder for each sequence.
        seed: of the benchmark.
    """

    plan: DatasetPlan
    sequences: tuple[MrSequence, ...]
    folder: Path
    seed: int

    def path(self, sequence: MrSequence, name: str) -> Path:
        """Where the image of a person lies."""
        return self.folder / sequence / f"{name}.image.npz"


def draw_phantoms(
    drawing: DrawPlan, workers: int = 1, say: Callable[[str], None] = lambda _: None
) -> None:
    """Draw the people that are not in the folder yet; the same seed, the same voxels.

    Args:
        drawing: what is drawn.
        workers: processes.
        say: receives one line a person.

    Raises:
        AnatomalyError: label maps, scans or shapes cannot be used, or a lesion does not fit.
    """
    plan, names = drawing.plan, names_of(drawing.plan)
    missing = [
        number
        for number, name in enumerate(names)
        if not all(drawing.path(sequence, name).is_file() for sequence in drawing.sequences)
    ]
    if not missing:
        return
    for sequence in drawing.sequences:
        (drawing.folder / sequence).mkdir(parents=True, exist_ok=True)
    if plan.shapes:
        list(_shapes(drawing))  # cached for the processes
    if plan.anatomy != "template":
        people = draw_people(plan, drawing.sequences, drawing.seed, drawing.folder)
        for number, sequence, make in people:
            if not drawing.path(sequence, names[number]).is_file():
                _finish(drawing, number, sequence, make())
                say(f"{plan.name} {sequence} {names[number]}")
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        done = pool.map(_draw_from_template, [drawing] * len(missing), missing)
        for number, _ in zip(missing, done, strict=True):
            say(f"{plan.name} {names[number]}")


def names_of(plan: DatasetPlan) -> list[str]:
    """Return the names of all people of a plan, parts one after the other."""
    return [f"{part}-{number:03d}" for part in PARTS for number in range(getattr(plan, part))]


def parts_of_phantoms(plan: DatasetPlan, sequence: MrSequence, folder: Path) -> Parts:
    """Return the parts of people who were drawn.

    Raises:
        EvaluationError: they were not.
    """
    parts: dict[str, list[BenchmarkScan]] = {part: [] for part in PARTS}
    for name in names_of(plan):
        image = folder / f"{name}.image.npz"
        if not image.is_file():
            raise EvaluationError(f"{image}: not drawn yet; run the benchmark again")
        parts[name.split("-")[0]].append(_closed(name, sequence, folder))
    return Parts(*map(tuple, parts.values()))


def _closed(name: str, sequence: MrSequence, folder: Path) -> BenchmarkScan:
    ill, image = name.startswith("lesions"), folder / f"{name}.image.npz"
    with np.load(image) as file:
        person = str(file["person"])
    return BenchmarkScan(
        name=name,
        person=person,
        sequence=sequence,
        open=lambda: _open(image, sequence),
        label=(lambda: _truth(folder / f"{name}.label.npz")) if ill else None,
        disease="planted" if ill else "healthy",
    )


def _draw_from_template(drawing: DrawPlan, number: int) -> None:
    """Draw one person from nilearn's tissue maps: the same anatomy in every sequence."""
    seed = drawing.seed * 1000 + number
    brain = draw_brain(seed)
    for sequence in drawing.sequences:
        rng = np.random.default_rng([seed, SEQUENCES.index(sequence), 19])
        means = means_of(sequence, rng)
        image = render(brain, means, int(rng.integers(2**31)))
        person = HealthyPerson(image, brain.brain_mask, brain.tissue_share[2])
        _finish(drawing, number, sequence, person)


def _finish(drawing: DrawPlan, number: int, sequence: MrSequence, person: HealthyPerson) -> None:
    """Plant lesions where the part asks for them, and write image and label."""
    plan, name = drawing.plan, names_of(drawing.plan)[number]
    path = drawing.path(sequence, name)
    image, lesion = person.image, np.zeros(person.image.shape, dtype=np.bool_)
    if name.startswith("lesions"):
        rng = np.random.default_rng([drawing.seed, number, 17])  # one lesion for all sequences
        image, lesion = plant_lesions(person, sequence, plan.planted, rng, list(_shapes(drawing)))
    save_arrays(path.with_name(f"{name}.label.npz"), lesion=lesion)
    save_arrays(
        path,
        image=image.astype(np.float16),
        brain=person.brain_mask,
        person=person.name or f"{plan.name}/{name}",
    )


def _shapes(drawing: DrawPlan) -> Iterator[BoolArray]:
    """Shapes of real lesions that the shipped weights never learnt from."""
    if drawing.plan.shapes:
        for shape in load_shapes(Path(drawing.plan.shapes), drawing.folder, held_out=True):
            yield shape.mask.numpy() > 0


def _open(path: Path, sequence: MrSequence) -> OpenedScan:
    with np.load(path) as file:
        image, brain = file["image"].astype(np.float32), file["brain"]
    prepared = PreparedImage(image, brain, sequence)
    return OpenedScan(prepared, Volume(brain, TEMPLATE_AFFINE), lambda score: score)


def _truth(path: Path) -> Truth:
    with np.load(path) as file:
        lesion = file["lesion"]
    return Truth(lesion, np.zeros_like(lesion))
