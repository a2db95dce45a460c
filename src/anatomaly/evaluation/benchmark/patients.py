"""Test sets that a user has: prepared once, scored on each scan's own grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from anatomaly.config import PreprocessConfig
from anatomaly.errors import AnatomalyError, EvaluationError
from anatomaly.evaluation.benchmark.config import DatasetPlan
from anatomaly.evaluation.benchmark.healthy_people import healthy_cases
from anatomaly.evaluation.benchmark.ledger import save_arrays
from anatomaly.evaluation.benchmark.scans import BenchmarkScan, OpenedScan, Parts, Truth
from anatomaly.evaluation.cases import Case
from anatomaly.evaluation.datasets.catalogue import find_cases
from anatomaly.evaluation.labels import read_label
from anatomaly.native import brain_mask_native, bring_back
from anatomaly.preprocess.chain import Prepared, prepare
from anatomaly.preprocess.reorient import Reorientation
from anatomaly.preprocess.resample import empty_grid
from anatomaly.scan.read import read_scan
from anatomaly.types import SEQUENCES, MrSequence
from anatomaly.volume import PreparedImage, Volume


def prepare_set(
    plan: DatasetPlan, sequence: MrSequence, folder: Path, seed: int, say: Callable[[str], None]
) -> None:
    """Prepare the scans of a test set and of its healthy people that are not prepared yet.

    A scan that cannot be prepared is left out, with the reason in `<name>.refused` beside the
    others; that is the same for all methods.

    Args:
        plan: of the data set.
        sequence: of the scans.
        folder: of this data set and sequence.
        seed: of the benchmark: order of the healthy people.
        say: receives one line a scan.

    Raises:
        EvaluationError: a folder is not there or holds nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for cases in list_parts(plan, sequence, seed).values():
        for case in cases:
            path = _prepared_path(folder, case)
            refused = path.with_suffix(".refused")
            if path.is_file() or refused.is_file():
                continue
            try:
                prepared = prepare(read_scan(case.scan), PreprocessConfig(), sequence)
            except AnatomalyError as error:
                refused.write_text(
                    f"{type(error).__name__}: {error}\n", encoding="utf-8", newline="\n"
                )
                say(f"{plan.name} {sequence} {case.patient}: left out: {error}")
                continue
            _write_prepared(path, prepared)
            say(f"{plan.name} {sequence} {case.patient}")


def parts_of_set(plan: DatasetPlan, sequence: MrSequence, folder: Path, seed: int) -> Parts:
    """Return the parts of a test set whose scans were prepared.

    Raises:
        EvaluationError: a folder is not there or holds nothing of its set.
    """
    parts = {
        part: tuple(_closed(c, folder) for c in cases if _prepared_path(folder, c).is_file())
        for part, cases in list_parts(plan, sequence, seed).items()
    }
    return Parts(**parts)


def list_parts(plan: DatasetPlan, sequence: MrSequence, seed: int) -> dict[str, list[Case]]:
    """Return the cases of each part; healthy people who are also patients are left out.

    Raises:
        EvaluationError: a folder is not there or holds nothing of its set, or too few are healthy.
    """
    all_cases = find_cases(plan.set, Path(plan.folder)).cases
    ill = [case for case in all_cases if case.sequence == sequence and case.label is not None]
    if not ill:
        raise EvaluationError(f"{plan.folder}: no {sequence} with a label in {plan.set}")
    ill = ill[: plan.lesions or None]
    patients = {case.person for case in ill}
    ends = np.cumsum([plan.train, plan.validation, plan.healthy])
    people = healthy_cases(plan, sequence, seed) if ends[-1] else []
    well = [case for case in people if case.person not in patients]
    if len(well) < ends[-1]:
        raise EvaluationError(
            f"{plan.healthy_folder}: {len(well)} healthy people for {ends[-1]} that are asked for "
            f"(train {plan.train}, validation {plan.validation}, healthy {plan.healthy}); "
            f"{len(people) - len(well)} more have the name of a patient; ask for fewer"
        )
    return {
        "train": well[: ends[0]],
        "validation": well[ends[0] : ends[1]],
        "lesions": ill,
        "healthy": well[ends[1] : ends[2]],
    }


def _prepared_path(folder: Path, case: Case) -> Path:
    return folder / f"{case.dataset or 'scans'}-{case.patient}.npz"


def _closed(case: Case, folder: Path) -> BenchmarkScan:
    path = _prepared_path(folder, case)
    return BenchmarkScan(
        name=path.stem,
        person=case.person,
        sequence=case.sequence,
        open=lambda: open_prepared(path),
        label=None if case.label is None else lambda: _read_truth(case),
        disease=case.disease or "healthy",
        site=case.site,
        age=case.age,
        sex=case.sex,
    )


def _write_prepared(path: Path, prepared: Prepared) -> None:
    """Keep what scoring needs of a prepared scan, as plain arrays."""
    trace = prepared.trace
    save_arrays(
        path,
        sequence=prepared.image.sequence,
        image=prepared.image.image.astype(np.float32),
        brain_mask=prepared.image.brain_mask,
        own_brain=brain_mask_native(trace).data > 0,
        grid_shape=trace.brain_mask_ras.shape,
        grid_affine=trace.brain_mask_ras.affine,
        scanner_to_template=trace.registration.scanner_to_template,
        own_axes=trace.reorientation.axes,
        own_affine=trace.reorientation.affine,
    )


def open_prepared(path: Path) -> OpenedScan:
    """Return what is scored of a prepared scan, and the way back to its own grid.

    Raises:
        EvaluationError: the file is damaged.
    """
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        brain = Volume(arrays["own_brain"], arrays["own_affine"])
        i, j, k = (int(n) for n in arrays["grid_shape"])
        grid = empty_grid((i, j, k), arrays["grid_affine"])
        first, second, third = (str(axis) for axis in arrays["own_axes"])
        sequence = next(name for name in SEQUENCES if name == str(arrays["sequence"]))
    except (OSError, ValueError, KeyError, StopIteration, BadZipFile) as error:
        raise EvaluationError(
            f"{path}: cannot be read ({error}); remove it, and it is prepared again"
        ) from error
    turn = Reorientation((first, second, third), brain.shape, brain.affine)
    return OpenedScan(
        PreparedImage(arrays["image"], arrays["brain_mask"], sequence),
        brain,
        lambda score: bring_back(score, arrays["scanner_to_template"], grid, turn).data,
    )


def _read_truth(case: Case) -> Truth:
    label = read_label(case)
    return Truth(label.lesion.data, label.open)
