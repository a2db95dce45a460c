"""From people to stages: both sides, validation, and one real step of each kind."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from anatomaly.errors import TrainingError
from anatomaly.training import cohort_people, cohort_run
from anatomaly.training.checkpoint import read_checkpoint
from anatomaly.training.cohort_run import CohortConfig, train_cohort
from anatomaly.training.loop import LoopConfig
from anatomaly.training.synthesis.generator import RealPairGenerator


@pytest.fixture(name="bids")
def fixture_bids(tmp_path, labels, monkeypatch):
    """Three people with T1w and T2w and one that cannot be prepared, all made up."""
    labels = np.where(labels == 14, 0, labels).astype(np.uint8)
    grey = {
        "image": np.array([0, 30, 32, 110, 110, 0, 0, 0, 0, 170] + 5 * [0]),
        "T2w": np.array([0, 180, 175, 100, 100, 0, 0, 0, 0, 60] + 5 * [0]),
    }

    def prepare(visit):
        if visit.person == "sub-bad":
            raise TrainingError("no brain")
        images = {name: table[labels].astype(np.uint8) for name, table in grey.items()}
        record = {
            "scans": [p.name for p in visit.scans.values()],
            "prepared": list(visit.scans),
            "notes": [],
            "volume_ml": 1500.0,
        }
        return {"labels": labels, **images}, record

    monkeypatch.setattr(cohort_people, "_prepare", prepare)
    for name in ("a", "b", "c", "bad"):
        anat = tmp_path / "bids" / f"sub-{name}" / "anat"
        anat.mkdir(parents=True)
        for sequence in ("T1w", "T2w"):
            (anat / f"sub-{name}_{sequence}.nii.gz").touch()
    return tmp_path / "bids"


def config(bids, tmp_path, **options):
    loop = LoopConfig(steps=0, workers=0, checkpoint_seconds=1e6, validate_every=2, patience=3)
    settings = {"patch": (48, 48, 48), "loop": loop, "held_out_pairs": 2, "held_out_share": 0.3}
    return CohortConfig(output=tmp_path / "run", bids=bids, **(settings | options))


def test_people_of_both_sides_reach_the_stages(bids, tmp_path, monkeypatch):
    got = {}

    def stages(model, config, data_of, say, report):
        for plan in cohort_run_plans():
            got[plan.name] = data_of(plan)
        got["share"] = model.context.tissue_share.clone()

    def cohort_run_plans():
        from anatomaly.training.recipe import STAGES

        return STAGES

    monkeypatch.setattr(cohort_run, "train_stages", stages)
    said = []
    train_cohort(config(bids, tmp_path), said.append)
    assert "sub-bad: skipped: no brain" in said
    assert got["share"].max() > 0.5
    data = got["anatomy"]
    train, held_out = ({s.name for s in side.subjects} for side in (data.pairs, data.held_out))
    assert train and held_out and train | held_out == {"sub-a", "sub-b", "sub-c"}
    assert train.isdisjoint(held_out)
    assert isinstance(data.pairs, RealPairGenerator) and len(data.held_out) == 2
    assert data.held_out.config.seed == got["joint"].held_out.config.seed != data.pairs.config.seed
    assert got["edges"].pairs.config.images is False
    assert said[-1].endswith("held out, 0 shapes")


@pytest.mark.slow
def test_one_run_is_validated_and_goes_on(bids, tmp_path):
    steps = {"anatomy": 4, "restoration": 2, "disentangle": 4}
    said, options = [], {"steps": steps, "only": tuple(steps)}
    train_cohort(config(bids, tmp_path, **options), said.append)
    for name, count in steps.items():
        folder = tmp_path / "run" / name
        state = read_checkpoint(folder)[1]
        assert state["step"] == count and state["best_step"] in (2, 4)
        lines = (folder / "validation.csv").read_text().splitlines()
        assert len(lines) == 1 + count // 2
    said.clear()
    train_cohort(config(bids, tmp_path, **options), said.append)
    assert not any("prepared" in line for line in said)


def test_another_split_is_refused(bids, tmp_path, monkeypatch):
    monkeypatch.setattr(cohort_run, "train_stages", lambda *_: None)
    train_cohort(config(bids, tmp_path))
    assert json.loads((tmp_path / "run/cache/split.json").read_text()) == {"held_out_share": 0.3}
    with pytest.raises(TrainingError, match=r"begun with 0\.3 of the people held out, not 0\.1"):
        train_cohort(config(bids, tmp_path, held_out_share=0.1))


def test_without_people_held_out_there_is_no_validation(bids, tmp_path, monkeypatch):
    got = []
    monkeypatch.setattr(
        cohort_run,
        "train_stages",
        lambda model, config, data_of, *_: got.append(
            data_of(SimpleNamespace(seed=1, images=True))
        ),
    )
    train_cohort(config(bids, tmp_path, held_out_share=0.0))
    assert got[0].held_out is None and len(got[0].pairs.subjects) == 3


def test_nobody_is_left(bids, tmp_path, monkeypatch):
    def fail(visit):
        raise TrainingError("no brain")

    monkeypatch.setattr(cohort_people, "_prepare", fail)
    with pytest.raises(TrainingError, match="nobody left to train on"):
        train_cohort(config(bids, tmp_path))


def test_somebody_who_left_the_folder_is_not_trained_on(bids, tmp_path, monkeypatch):
    got = []
    monkeypatch.setattr(
        cohort_run,
        "train_stages",
        lambda model, config, data_of, *_: got.append(
            data_of(SimpleNamespace(seed=1, images=True))
        ),
    )
    train_cohort(config(bids, tmp_path, held_out_share=0.01))
    gone = got[0].pairs.subjects[0].name
    for path in (bids / gone / "anat").iterdir():
        path.unlink()
    train_cohort(config(bids, tmp_path, held_out_share=0.01))
    assert gone not in [s.name for s in got[1].pairs.subjects]
