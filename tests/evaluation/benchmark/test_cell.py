"""A cell is measured once, goes on where it stopped, and keeps its failure to itself."""

from dataclasses import replace

import pytest

from anatomaly.evaluation.benchmark import cell as cell_module
from anatomaly.evaluation.benchmark.cell import FAILED, FINISHED, Cell, run_cell, run_cells
from anatomaly.evaluation.benchmark.config import DatasetPlan
from anatomaly.evaluation.benchmark.run import group_cells, list_cells


@pytest.fixture(name="cells")
def fixture_cells(config, split, tmp_path, monkeypatch):
    monkeypatch.setattr(cell_module, "split_scans", lambda *_: split)
    monkeypatch.setattr(cell_module, "keep_freed_memory", lambda: None)
    return {cell.method: cell for cell in list_cells(config, tmp_path)}


def test_measured_once(cells, toys):
    run_cell(cells["bright"])
    assert toys["bright"].scored == 2 + 3
    finished = cells["bright"].ledger.read(FINISHED)
    assert finished["parameters"] == 7
    assert 0 < finished["peak_gb"] < 20
    run_cell(cells["bright"])
    assert toys["bright"].scored == 5


def test_a_killed_cell_goes_on(cells, toys, monkeypatch):
    """Stopped after validation and one test scan: three more scores, no more."""
    whole = toys["bright"].score
    calls = []

    def dies(prepared):
        calls.append(prepared)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(prepared)

    monkeypatch.setattr(toys["bright"], "score", dies)
    with pytest.raises(KeyboardInterrupt):
        run_cell(cells["bright"])
    assert cells["bright"].ledger.read(FINISHED) is None
    monkeypatch.setattr(toys["bright"], "score", whole)
    before = toys["bright"].scored
    run_cell(cells["bright"])
    assert toys["bright"].scored - before == 2
    assert cells["bright"].ledger.read(FINISHED)


def test_a_failure_is_written_down_and_tried_again(cells, toys):
    run_cell(cells["broken"])
    assert "AttributeError" in cells["broken"].ledger.read(FAILED)["error"]
    toys["broken"] = toys["bright"]
    run_cell(cells["broken"])
    assert cells["broken"].ledger.read(FAILED) is None
    assert cells["broken"].ledger.read(FINISHED)


def test_names_and_places_differ(config, tmp_path):
    cells = list_cells(config, tmp_path)
    assert len({cell.ledger.folder for cell in cells}) == len({c.name for c in cells}) == 3
    assert isinstance(cells[0], Cell)


def test_sets_that_learn_from_one_fit_once(config, split, toys, tmp_path, monkeypatch):
    """The second set takes the networks and the threshold of the first, and scores its test."""
    monkeypatch.setattr(cell_module, "split_scans", lambda *_: split)
    monkeypatch.setattr(cell_module, "keep_freed_memory", lambda: None)
    fitted = []
    monkeypatch.setattr(
        toys["bright"], "fit", lambda images, trainer: fitted.append(trainer.folder)
    )
    other = DatasetPlan("other", train=0, validation=0, lesions=2, learn_from="toy-set")
    both = replace(config, datasets=(*config.datasets, other))
    groups = group_cells(list_cells(both, tmp_path))
    assert [[cell.plan.name for cell in group] for group in groups] == [["toy-set", "other"]] * 3
    assert [group[0].method for group in groups] == list(both.methods)
    run_cells(groups[0])
    assert fitted == [tmp_path / "cells" / "toy-set" / "FLAIR" / "bright" / "training"]
    assert toys["bright"].scored == 2 + 3 + 3
    first, second = (cell.ledger.read(FINISHED) for cell in groups[0])
    assert first["threshold"] == second["threshold"]
