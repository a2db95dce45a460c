"""What the README quotes of the headline table is what the committed table says."""

import csv
import importlib.util
import math
import sys
from collections import defaultdict

import pytest

from anatomaly.evaluation.benchmark.config import read_config
from anatomaly.evaluation.benchmark.method import method_names


@pytest.fixture(name="script")
def fixture_script(checkout, monkeypatch):
    """The program that makes the table."""
    monkeypatch.syspath_prepend(str(checkout / "benchmarks"))
    spec = importlib.util.spec_from_file_location("headline", checkout / "benchmarks/headline.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("environment", None)


@pytest.fixture(name="config")
def fixture_config(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("ANATOMALY_DATA", str(tmp_path))
    return read_config(str(checkout / "benchmarks" / "headline.toml"))


def test_the_readme_quotes_the_table(script, checkout):
    text = (checkout / "README.md").read_text(encoding="utf-8")
    block = text.split(script.MARKERS[0])[1].split(script.MARKERS[1])[0]
    table = (checkout / "benchmarks" / "results" / "headline.md").read_text(encoding="utf-8")
    assert block == script.quote(table)


def test_means_are_those_of_the_csv(script, checkout):
    """Reckoned again from the committed rows, without the code that wrote the table."""
    with (checkout / "benchmarks" / "results" / "headline.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["stratum"] == "all"]
    figures = defaultdict(list)
    for row in rows:
        if row["status"] == "ok":
            figures[row["method"]].append(float(row["ap"]))
    table = (checkout / "benchmarks" / "results" / "headline.md").read_text(encoding="utf-8")
    quoted = script.quote(table).splitlines()
    for method, values in figures.items():
        line = next(line for line in quoted if line.startswith(f"| {method} |"))
        cells = [cell.strip() for cell in line.split("|")]
        assert cells[2] == f"{len(values)} of 9"
        assert math.isclose(float(cells[3]), sum(values) / len(values), abs_tol=6e-4)


def test_seventeen_rivals_and_nobody_learns_from_cases(config):
    assert len(config.methods) == 19
    assert set(config.methods) <= set(method_names())
    assert len(config.rivals) == 17
    assert set(config.methods) - set(config.rivals) == {"ours", "ours_paper"}
    planted, *others = config.datasets
    assert planted.anatomy == "cohort"
    for plan in others:
        assert (plan.train, plan.validation, plan.learn_from) == (0, 0, "planted")
