"""Tables over many results: every lesion and every scan once, and sums that agree."""

import csv
import json

import pytest

from anatomaly.anomaly.lesions import LESION_COLUMNS
from anatomaly.report.cohort_tables import (
    RESULT_WHOSE,
    VOLUME_COLUMNS,
    read_scored_maps,
    write_cohort_tables,
    write_table,
)


def write_result(folder, volumes_mm3, warnings=(), **more):
    folder.mkdir(parents=True)
    run = {"sequence": "FLAIR", "threshold": 0.25, "warnings": warnings, **more}
    (folder / "run.json").write_text(json.dumps(run))
    rows = [
        {**dict.fromkeys(LESION_COLUMNS, "0"), "number": str(n), "volume_mm3": str(v), "region": ""}
        for n, v in enumerate(volumes_mm3, start=1)
    ]
    lines = ["\t".join(LESION_COLUMNS), *("\t".join(row.values()) for row in rows)]
    (folder / "lesions.tsv").write_text("\n".join(lines) + "\n")


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(name="tables")
def fixture_tables(tmp_path):
    quality = {"quality": {"brain_ml": 1234.4}}
    write_result(tmp_path / "b" / "two", [1500.0, 250.5], ("a\tdoubt", "more"), preparation=quality)
    write_result(tmp_path / "a", [])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{ no JSON")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "run.json").write_text('{"sequence": "T1w", "threshold": 0.3}')
    maps = read_scored_maps(tmp_path)
    return list(map(read, write_cohort_tables(tmp_path, maps, RESULT_WHOSE, LESION_COLUMNS)))


def test_a_line_a_scan(tables):
    volumes, _ = tables
    assert list(volumes[0]) == [*RESULT_WHOSE, *VOLUME_COLUMNS]
    assert [row["scan"] for row in volumes] == ["a", "b/two"]
    assert volumes[0]["lesions"] == "0" and volumes[0]["volume_ml"] == "0.000"
    assert volumes[0]["warnings"] == volumes[0]["brain_ml"] == "n/a"
    assert (volumes[1]["volume_ml"], volumes[1]["brain_ml"]) == ("1.750", "1234")
    assert volumes[1]["threshold"] == "0.2500"
    assert volumes[1]["warnings"] == "a doubt | more"
    assert volumes[1]["file"] == "b/two/lesions.tsv"


def test_a_line_a_lesion(tables):
    volumes, lesions = tables
    assert list(lesions[0]) == [*RESULT_WHOSE, *LESION_COLUMNS]
    assert [(row["scan"], row["number"]) for row in lesions] == [("b/two", "1"), ("b/two", "2")]
    assert {row["region"] for row in lesions} == {"n/a"}
    total = sum(float(row["volume_mm3"]) for row in lesions) / 1000
    assert total == pytest.approx(sum(float(row["volume_ml"]) for row in volumes), abs=1e-3)


def test_nothing_is_written_as_not_available(tmp_path):
    write_table(tmp_path / "t.tsv", ("a", "b"), [{"a": "1", "b": "", "c": "x"}])
    assert (tmp_path / "t.tsv").read_text() == "a\tb\n1\tn/a\n"


def test_nothing_found_anywhere_is_a_header(tmp_path):
    write_result(tmp_path / "a", [])
    maps = read_scored_maps(tmp_path)
    _, lesions = write_cohort_tables(tmp_path, maps, RESULT_WHOSE, LESION_COLUMNS)
    assert lesions.read_text() == "\t".join((*RESULT_WHOSE, *LESION_COLUMNS)) + "\n"
