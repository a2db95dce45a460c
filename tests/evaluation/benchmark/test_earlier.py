"""Rows of an earlier table: read as they were written, kept only where nothing was measured."""

import math

import pytest

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.benchmark.earlier import keep_earlier, key_of, read_table
from anatomaly.evaluation.benchmark.write import _write_csv


def row(method, sequence="T1w", stratum="all", **figures):
    who = {"dataset": "d", "sequence": sequence, "method": method}
    return who | {"stratum": stratum, "status": "ok"} | figures


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = [
        row("a", ap=0.25, people=3, parameters=1000, fp_ml_95=math.nan, measured="2026-11-25"),
        row("a", stratum="sex: F", ap=0.5, people=1),
        row("b") | {"status": "ValueError: 1, 2"},
    ]
    _write_csv(tmp_path / "table.csv", rows)
    del rows[0]["fp_ml_95"]
    found = read_table(tmp_path / "table.csv")
    assert found == rows
    assert isinstance(found[0]["people"], int)


@pytest.mark.parametrize(
    "text", ["", "dataset,sequence\nd,T1w\n", "dataset,sequence,method\nd,T1w,ae\n", None]
)
def test_no_table(tmp_path, text):
    path = tmp_path / "table.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EvaluationError, match="not the table of a benchmark"):
        read_table(path)


def test_only_what_was_not_measured_is_kept():
    """a is measured again, b kept with its strata, c in neither, d only in the earlier table."""
    rows = [row("a", ap=0.1), row("b") | {"status": "not finished"}]
    rows += [row("c") | {"status": "not finished"}]
    earlier = [row("a", ap=0.9), row("b", ap=0.8), row("b", stratum="sex: F", ap=0.7)]
    earlier += [row("d", ap=0.6), row("b", sequence="T2w", ap=0.5)]
    found = keep_earlier(rows, earlier, {key_of(rows[0])})
    assert found == [rows[0], earlier[1], earlier[2], rows[2]]


def test_a_failure_of_this_run_is_not_covered_up():
    failed = row("a") | {"status": "ValueError: no"}
    assert keep_earlier([failed], [row("a", ap=0.9)], {key_of(failed)}) == [failed]
