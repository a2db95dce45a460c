"""The site is built without a warning and fetches nothing; what its pages show is run."""

import csv
import os
import re
import subprocess
import sys

import pytest
from events import PARTS
from markers import MARKER, fill_markers
from result_tables import read_table, worst_scans

ARTICLE = re.compile(r"<article.*?</article>", flags=re.S)
CODE = re.compile(r"<pre.*?</pre>|<code.*?</code>", flags=re.S)
FETCHED = re.compile(r'(?:<script[^>]*src|<img[^>]*src|<link[^>]*href)="((?:https?:)?//[^"]*)"')
LEFT_OVER = re.compile(r"\n\s*- |```|:::|\*\*|<!-- |\n\|")
"""Markdown that was meant as a list, a block or a table and was not read as one."""


@pytest.fixture(name="site", scope="module")
def fixture_site(checkout, tmp_path_factory):
    """The built site, by page."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.html")
    }


def test_every_document_is_a_page(site, checkout):
    docs = checkout / "docs"
    pages = {path.relative_to(docs).with_suffix(".html").as_posix() for path in docs.rglob("*.md")}
    pages = {page.replace("README", "index") for page in pages}
    assert pages | {"CONTRIBUTING.html", "benchmarks/results/detection.html"} <= set(site)


def test_pages_fetch_nothing(site):
    assert FETCHED.search('<script src="https://host/a.js">')
    fetched = {page: FETCHED.findall(text) for page, text in site.items()}
    assert not any(fetched.values()), fetched


def test_markdown_is_read_as_it_was_meant(site):
    for page, text in site.items():
        for article in ARTICLE.findall(text):
            left = LEFT_OVER.search(CODE.sub("", article))
            assert left is None, f"{page}: {article[left.start() : left.end() + 60]}"


def test_reference_has_every_command_and_the_public_names(site):
    commands = site["reference/commands.html"]
    for option in ("--min-lesion-mm3", "--held-out-share", "--participant-label"):
        assert option in commands
    python = site["reference/python.html"]
    for name in ("Detector.detect", "config.AnomalyConfig", "errors.DicomError", "oracle_dice"):
        assert name in python


def test_limits_show_the_figures_of_the_results(site, checkout):
    with (checkout / "benchmarks" / "results" / "detection.csv").open() as file:
        scans = list(csv.DictReader(file))
    worst = min(scans, key=lambda scan: float(scan["dice"]))
    table = worst_scans().splitlines()
    assert len(table) == 2 + len(scans)
    assert [worst["patient"], worst["dice"]] == [table[2].split(" | ")[n] for n in (2, 5)]
    assert f">{worst['dice']}</td>" in site["explanation/limits.html"]


def test_a_part_that_nothing_makes_and_a_table_that_is_gone_are_refused(checkout):
    pages = [path.read_text() for path in (checkout / "docs").rglob("*.md")]
    assert {name for page in pages for name in MARKER.findall(page)} == set(PARTS)
    with pytest.raises(KeyError, match="no generated part 'typo'"):
        fill_markers("<!-- generated: typo -->", PARTS)
    with pytest.raises(LookupError, match="no table with the columns"):
        read_table("detection.md", "patient", "colour")
