"""Rows of the table, by an independent reckoning; markdown, CSV, and the check of another run."""

import csv

import numpy as np
import pytest

from anatomaly.errors import ConfigError, EvaluationError
from anatomaly.evaluation.benchmark import cell as cell_module
from anatomaly.evaluation.benchmark.cell import run_cell
from anatomaly.evaluation.benchmark.figure import draw_figure
from anatomaly.evaluation.benchmark.run import claim_folder, list_cells
from anatomaly.evaluation.benchmark.scans import Split
from anatomaly.evaluation.benchmark.table import scan_rows, strata_of, summarise
from anatomaly.evaluation.benchmark.write import compare_tables, write_scans, write_table


@pytest.fixture(name="measured")
def fixture_measured(config, split, make_scan, tmp_path, monkeypatch):
    """Cells measured on three ill people (one scanned twice) and one healthy; one cell failed."""
    test = (
        *split.test,
        make_scan("ill-2b", ill=True, person="ill-2", seed=4, sex="F"),
        make_scan("ill-3", ill=True, seed=9, sex="M"),
    )
    monkeypatch.setattr(cell_module, "split_scans", lambda *_: Split(*_parts(split), test))
    monkeypatch.setattr(cell_module, "keep_freed_memory", lambda: None)
    cells = list_cells(config, tmp_path)
    for cell in cells:
        run_cell(cell)
    return cells


def _parts(split):
    return split.train, split.validation


def test_a_mean_is_over_people(config, measured):
    row = summarise(config, measured)[0]
    scans = {r["scan"]: r["ap"] for r in scan_rows(measured[0]) if not r["healthy"]}
    people = [scans["ill-1"], np.mean([scans["ill-2"], scans["ill-2b"]]), scans["ill-3"]]
    assert row["ap"] == pytest.approx(np.mean(people))
    assert row["ap_low"] <= row["ap"] <= row["ap_high"]
    assert (row["people"], row["scans"], row["healthy_scans"], row["lesions"]) == (3, 4, 1, 4)
    assert row["dice"] <= row["dice_oracle"]


def test_gain_is_paired_and_scale_does_not_matter(config, measured):
    rows = {r["method"]: r for r in summarise(config, measured) if r["stratum"] == "all"}
    assert rows["twice"]["ap"] == pytest.approx(rows["bright"]["ap"])
    assert rows["twice"]["ap_gain"] == pytest.approx(0)
    assert rows["twice"]["threshold"] == pytest.approx(2 * rows["bright"]["threshold"], rel=1e-5)
    assert "ap" not in rows["broken"]
    assert "AttributeError" in rows["broken"]["status"]


def test_strata_are_those_that_differ(config, measured):
    rows = scan_rows(measured[0])
    assert list(strata_of(rows)) == ["all", "sex: F", "sex: M"]
    found = {r["stratum"]: r["scans"] for r in summarise(config, measured) if r["status"] == "ok"}
    assert found == {"all": 4, "sex: F": 1, "sex: M": 1}


def test_files(config, measured, tmp_path):
    rows = summarise(config, measured)
    write_table(config, rows, tmp_path, "anatomaly benchmark toy")
    write_scans(measured, tmp_path / "scans.csv")
    draw_figure(rows, tmp_path / "table.png")
    assert (tmp_path / "table.png").read_bytes()[:4] == b"\x89PNG"
    text = (tmp_path / "table.md").read_text()
    assert "an upper bound, never a result" in text
    assert "`anatomaly benchmark toy`" in text
    assert "seed 3" in text
    assert "failed: AttributeError" in text
    with (tmp_path / "table.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert float(table[0]["ap"]) == pytest.approx(rows[0]["ap"], rel=1e-4)
    with (tmp_path / "scans.csv").open() as stream:
        scans = list(csv.DictReader(stream))
    assert len(scans) == 5 + 5  # the broken method left none
    endings = {path.suffix for path in tmp_path.iterdir() if path.is_file()}
    assert endings <= {".csv", ".md", ".png", ".json"}, endings


def test_another_run_is_compared(config, measured, tmp_path):
    rows = summarise(config, measured)
    write_table(config, rows, tmp_path, "")
    path = tmp_path / "table.csv"
    assert compare_tables(path, rows, 0.01) == []
    moved = [row | ({"ap": row["ap"] - 0.02} if row["method"] == "twice" else {}) for row in rows]
    found = compare_tables(path, moved, 0.01)
    assert len(found) == 1
    assert "twice" in found[0]
    assert "not in this run" in compare_tables(path, rows[1:], 0.01)[0]
    with pytest.raises(EvaluationError, match="not the table of a benchmark"):
        compare_tables(tmp_path / "none.csv", rows, 0.01)


def test_a_folder_belongs_to_one_configuration(config, tmp_path):
    claim_folder(config, tmp_path / "run")
    claim_folder(config, tmp_path / "run")
    changed = type(config)(**(config.__dict__ | {"methods": ("bright",), "seed": 3}))
    claim_folder(changed, tmp_path / "run")
    changed = type(config)(**(config.__dict__ | {"seed": 4}))
    with pytest.raises(ConfigError, match="another seed"):
        claim_folder(changed, tmp_path / "run")
