"""`anatomaly report`: pages again, the cohort page, and what fails."""

import json
import re

import pytest

from anatomaly import reopen
from anatomaly.errors import ScanError


@pytest.fixture(name="results")
def fixture_results(tmp_path, monkeypatch):
    """Two result folders, and a page builder that takes no time and refuses `broken`."""
    for name in ("deep/one", "two"):
        (tmp_path / name).mkdir(parents=True)
        run = {"sequence": "T1w", "warnings": [], "lesions": 0}
        (tmp_path / name / "run.json").write_text(json.dumps(run))
    built = []

    def rebuild_page(folder):
        if folder.name == "broken":
            raise ScanError(f"{folder}: [no] result")
        built.append(folder.name)
        return folder / "report.html"

    monkeypatch.setattr(reopen, "rebuild_page", rebuild_page)
    return tmp_path, built


def names(folder):
    return re.findall(r'data-name="(.*?)"', (folder / "index.html").read_text())


def test_every_page_and_the_index(run, results):
    folder, built = results
    result = run("report", folder)
    assert result.exit_code == 0, result.output
    assert built == ["one", "two"] and names(folder) == ["deep/one", "two"]
    assert str(folder / "index.html") in result.stderr


def test_index_alone(run, results):
    folder, built = results
    assert run("report", folder, "--index-only", "-q").exit_code == 0
    assert built == [] and names(folder) == ["deep/one", "two"]


def test_a_bad_result_does_not_stop_the_others(run, results):
    folder, built = results
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("no JSON")
    result = run("report", folder)
    assert result.exit_code == 1 and built == ["one", "two"]
    assert "[no] result" in result.stderr
    assert names(folder)[0] == "broken"


def test_a_damaged_result_does_not_stop_the_others(run, results, monkeypatch):
    folder, built = results
    build = reopen.rebuild_page

    def damaged(path):
        if path.name == "one":
            raise KeyError("name")
        return build(path)

    monkeypatch.setattr(reopen, "rebuild_page", damaged)
    (folder / "two" / "report.html").write_bytes(b'<img id="key-picture" src="\xff\xfe')
    result = run("report", folder)
    assert result.exit_code == 1 and built == ["two"]
    assert "is damaged (KeyError: 'name'); run detect again" in " ".join(result.stderr.split())
    assert names(folder) == ["deep/one", "two"]


def test_a_folder_without_results(run, tmp_path):
    result = run("report", tmp_path)
    assert result.exit_code == 1 and "holds no result" in result.stderr
    assert not list(tmp_path.iterdir())
    assert run("report", tmp_path / "missing").exit_code == 2
