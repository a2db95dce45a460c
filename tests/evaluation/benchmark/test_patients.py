"""Test sets of a user: parts by person, prepared once, scored on the scan's own grid."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from anatomaly.errors import EvaluationError, PreparationError
from anatomaly.evaluation.benchmark import patients
from anatomaly.evaluation.benchmark.config import DatasetPlan
from anatomaly.evaluation.benchmark.patients import list_parts, prepare_set
from anatomaly.preprocess.brain_extraction import BrainExtraction
from anatomaly.preprocess.chain import Prepared
from anatomaly.preprocess.normalise import HIGH_VALUE, normalise_intensity
from anatomaly.preprocess.quality import Fit
from anatomaly.preprocess.register import Registration
from anatomaly.preprocess.reorient import reorient
from anatomaly.preprocess.resample import empty_grid, resample_to_template
from anatomaly.preprocess.trace import Trace
from anatomaly.volume import PreparedImage

SHAPE = (28, 33, 21)
AFFINE = np.array([[-6.0, 0, 0, 80], [0, -6.0, 0, 80], [0, 0, 8.0, -75], [0, 0, 0, 1]])
LESION = (slice(8, 11), slice(12, 16), slice(9, 12))


def prepare_by_hand(scan, config, sequence):
    """All but the slow steps: the head lies where the template's does."""
    if "broken" in scan.name:
        raise PreparationError("no brain found")
    volume, reorientation = reorient(scan.volume)
    mask = volume.with_data(volume.data > 100)
    resampled = resample_to_template(volume, np.eye(4))
    weight = resample_to_template(mask.with_data(mask.data.astype(np.float32)), np.eye(4))
    inside = weight.with_data(weight.data > 0.5)
    image, normalisation = normalise_intensity(resampled, inside)
    trace = Trace(
        steps=(),
        scan_grid=empty_grid(scan.volume.shape, scan.volume.affine),
        reorientation=reorientation,
        bias_field=None,
        extraction=BrainExtraction("file", 1.0, False),
        brain_mask_ras=mask,
        brain_mask_template=inside,
        registration=Registration(np.eye(4), Fit(1.0, 0.1, 0.0, 0.5, 2.0, 0.0, 1.0)),
        normalisation=normalisation,
    )
    return Prepared(PreparedImage(image.data, inside.data, sequence), trace)


@pytest.fixture(name="plan", scope="module")
def fixture_plan(tmp_path_factory):
    """A patient of MSLUB, three healthy people one of whom cannot be prepared."""
    tmp_path = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    middle = (np.array(SHAPE) - 1) / 2
    away = np.linalg.norm((np.stack(np.indices(SHAPE), -1) - middle) / (11, 13, 8), axis=-1)

    def write(path, ill):
        data = np.where(away < 1, rng.uniform(400, 600, SHAPE), 0)
        if ill:
            data[LESION] = 900
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data.astype(np.float32), AFFINE), path)

    label = np.zeros(SHAPE, np.uint8)
    label[LESION] = 1
    for number in (1,):
        folder = tmp_path / "mslub" / f"patient{number:02d}"
        write(folder / "FLAIR.nii.gz", ill=True)
        nib.save(nib.Nifti1Image(label, AFFINE), folder / "consensus_gt.nii.gz")
        write(tmp_path / "ixi" / f"sub-ill{number}" / "anat" / f"sub-ill{number}_T1w.nii.gz", False)
    people = [f"sub-{name}" for name in ("w1", "w2", "broken")]
    for person in people:
        write(tmp_path / "ixi" / person / "anat" / f"{person}_FLAIR.nii.gz", ill=False)
    rows = ["participant_id\tgroup", *(f"{person}\tcontrol" for person in people)]
    (tmp_path / "ixi" / "participants.tsv").write_text("\n".join(rows) + "\n")
    return DatasetPlan(
        "own", kind="folder", set="mslub", folder=str(tmp_path / "mslub"), healthy_set="bids",
        healthy_folder=str(tmp_path / "ixi"), train=1, validation=1, healthy=1, lesions=0,
    )  # fmt: skip


@pytest.fixture(name="prepared", scope="module")
def fixture_prepared(plan, tmp_path_factory):
    """The folder of prepared scans, and what was said meanwhile."""
    folder, said = tmp_path_factory.mktemp("data"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patients, "prepare", prepare_by_hand)
        prepare_set(plan, "FLAIR", folder, 0, said.append)
    return folder, said


def test_parts_and_what_is_left_out(plan, prepared):
    parts = list_parts(plan, "FLAIR", seed=0)
    assert {name: len(cases) for name, cases in parts.items()} == {
        "train": 1, "validation": 1, "lesions": 1, "healthy": 1,
    }  # fmt: skip
    assert list_parts(plan, "FLAIR", seed=0) == parts
    folder, said = prepared
    assert sum("left out: no brain found" in line for line in said) == 1
    assert len(said) == 4
    again = []
    prepare_set(plan, "FLAIR", folder, 0, again.append)
    assert again == []  # nothing was prepared again
    assert len(list(folder.glob("[!.]*.npz"))) == 3
    assert not [path for path in folder.iterdir() if path.suffix not in {".npz", ".refused"}]


def test_scored_on_the_grid_of_the_scan(plan, prepared):
    case = list_parts(plan, "FLAIR", 0)["lesions"][0]
    scan = patients._closed(case, prepared[0])
    opened, truth = scan.open(), scan.label()
    native = opened.bring(opened.prepared.image)
    assert native.shape == opened.brain.shape == truth.lesion.shape == SHAPE
    assert opened.brain.voxel_volume_mm3 == pytest.approx(288)
    inside = opened.brain.data
    bright = (native > 0.9 * HIGH_VALUE) & inside
    assert bright[truth.lesion].mean() > 0.5
    assert bright[inside & ~truth.lesion].mean() < 0.1


def test_a_damaged_cache_says_what_to_do(plan, prepared, tmp_path):
    case = list_parts(plan, "FLAIR", 0)["lesions"][0]
    (tmp_path / patients._prepared_path(prepared[0], case).name).write_bytes(b"PK no archive")
    with pytest.raises(EvaluationError, match="remove it, and it is prepared again"):
        patients._closed(case, tmp_path).open()


def test_too_few_people_is_said(plan):
    many = DatasetPlan(**(plan.__dict__ | {"train": 3}))
    with pytest.raises(EvaluationError, match="3 healthy people for 5 that are asked for"):
        list_parts(many, "FLAIR", 0)
    with pytest.raises(EvaluationError, match="no T1w with a label in mslub"):
        list_parts(plan, "T1w", 0)


def test_a_patient_is_no_healthy_person(plan, monkeypatch):
    """Who is in both sets, under the name of the patient, is left out of the healthy ones."""
    ill = list_parts(plan, "FLAIR", 0)["lesions"][0]
    well = [replace(ill, person=name, label=None) for name in ("w1", ill.person, "w2", "w3")]
    monkeypatch.setattr(patients, "healthy_cases", lambda *_: well)
    parts = list_parts(plan, "FLAIR", 0)
    people = [parts[part][0].person for part in ("train", "validation", "healthy")]
    assert people == ["w1", "w2", "w3"]


def test_without_healthy_people_nobody_is_looked_for(plan):
    none = {"train": 0, "validation": 0, "healthy": 0, "learn_from": "x", "healthy_folder": ""}
    parts = list_parts(DatasetPlan(**(plan.__dict__ | none)), "FLAIR", 0)
    assert [len(cases) for cases in parts.values()] == [0, 0, 1, 0]
