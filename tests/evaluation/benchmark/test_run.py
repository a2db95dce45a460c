"""From a configuration to files: one drawn benchmark whose methods need no training."""

import csv
from pathlib import Path

import numpy as np
import pytest

from anatomaly.evaluation.benchmark import phantoms, run
from anatomaly.evaluation.benchmark.cell import run_cells
from anatomaly.evaluation.benchmark.config import parse_config
from anatomaly.evaluation.benchmark.phantoms import DrawPlan, draw_phantoms, parts_of_phantoms
from anatomaly.evaluation.benchmark.planting import HealthyPerson

SHAPE, CENTRE = (72, 72, 128), (36, 36, 92)
"""High enough in the template for a lesion of the cerebrum."""


def config(methods=("intensity_threshold",)):
    plan = {"name": "drawn", "train": 1, "validation": 1, "lesions": 2, "healthy": 1}
    plan |= {"planted": {"count": [1, 1], "contrast": [0.4, 0.5], "volume_ml": [8, 10]}}
    values = {"seed": 2, "methods": list(methods), "against": methods[0], "sequences": ["FLAIR"]}
    return parse_config(values | {"datasets": [plan]}, "small")


@pytest.fixture(name="balls")
def fixture_balls(monkeypatch):
    """Balls of noise in the place of brains, and no processes: both are slow."""
    axes = np.ogrid[tuple(slice(n) for n in SHAPE)]
    away = np.sqrt(sum((a - n) ** 2 for a, n in zip(axes, CENTRE, strict=True)))
    brain = away < 34
    drawn = []

    def people(plan, sequences, seed, folder):
        for number in range(5):
            drawn.append(number)
            rng = np.random.default_rng([seed, number])
            image = (brain * (0.5 + rng.normal(0, 0.02, brain.shape))).astype(np.float32)
            person = HealthyPerson(image, brain, (away < 26).astype(np.float32))
            yield number, sequences[0], lambda person=person: person

    monkeypatch.setattr(phantoms, "draw_people", people)
    monkeypatch.setattr(run, "_in_own_process", run_cells)
    return drawn


def as_scans(config):
    """The same plan with the anatomy of scans, which the fixture stands in for."""
    plan = config.datasets[0].__dict__ | {
        "anatomy": "scans", "healthy_set": "ixi", "healthy_folder": "nowhere",
    }  # fmt: skip
    return type(config)(**(config.__dict__ | {"datasets": (type(config.datasets[0])(**plan),)}))


def test_whole_and_again(balls, toys, tmp_path):
    said = []
    rows = run.run_benchmark(as_scans(config(("bright",))), tmp_path, 1, said.append, "a command")
    assert {row["stratum"] for row in rows} == {"all"}
    assert rows[0]["status"] == "ok", rows[0]
    assert rows[0]["ap"] > 0.5
    assert rows[0]["fp_ml_median"] < 20
    assert (rows[0]["people"], rows[0]["healthy_scans"]) == (2, 1)
    for name in ("table.csv", "table.md", "table.png", "scans.csv", "config.json"):
        assert (tmp_path / name).stat().st_size > 100
    endings = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert endings <= {".json", ".csv", ".md", ".png", ".npz", ".txt"}, endings
    assert said[-1] == "drawn FLAIR bright: finished"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*.json")}
    count = len(balls)
    again = run.run_benchmark(as_scans(config(("bright",))), tmp_path)
    assert len(balls) == count  # nobody was drawn again
    assert again[0]["ap"] == rows[0]["ap"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with (tmp_path / "scans.csv").open() as stream:
        assert [row["scan"] for row in csv.DictReader(stream)] == [
            "healthy-000", "lesions-000", "lesions-001",
        ]  # fmt: skip


@pytest.mark.slow
def test_drawn_from_the_template_and_in_own_processes(tmp_path):
    """The real thing: nilearn's tissue maps, processes of their own, and our detector."""
    rows = run.run_benchmark(config(("intensity_threshold", "ours")), tmp_path, 2)
    assert [row["status"] for row in rows if row["stratum"] == "all"] == ["ok", "ok"]
    threshold, ours = (row for row in rows if row["stratum"] == "all")
    assert ours["ap"] > threshold["ap"] > 0.02
    assert ours["peak_gb"] > threshold["peak_gb"] > 0.1


@pytest.mark.slow
def test_the_same_seed_the_same_voxels(tmp_path):
    plan = config().datasets[0]
    for place in ("a", "b"):
        draw_phantoms(DrawPlan(plan, ("T1w", "T2w"), tmp_path / place, 2), workers=1)
    for path in (tmp_path / "a").rglob("*.npz"):
        twin = Path(str(path).replace(str(tmp_path / "a"), str(tmp_path / "b")))
        with np.load(path) as one, np.load(twin) as other:
            for name in one.files:
                np.testing.assert_array_equal(one[name], other[name])
    parts = parts_of_phantoms(plan, "T1w", tmp_path / "a" / "T1w")
    assert [len(part) for part in parts] == [1, 1, 2, 1]
    assert [scan.label is None for scan in (*parts.lesions, *parts.healthy)] == [False, False, True]
    truth = parts.lesions[0].label()
    assert truth.lesion.sum() > 7000


def test_what_an_earlier_table_has_is_not_measured_again(balls, toys, tmp_path):
    """But for the method that all are compared with, which the gains need scan by scan."""
    plan = as_scans(config(("bright", "twice")))
    first = run.run_benchmark(plan, tmp_path / "first")
    scored = toys["bright"].scored, toys["twice"].scored
    second = run.run_benchmark(plan, tmp_path / "second", earlier=first)
    assert (toys["bright"].scored, toys["twice"].scored) == (2 * scored[0], scored[1])
    assert [row["ap"] for row in second] == [row["ap"] for row in first]
    assert second[1]["seconds"] == first[1]["seconds"]
