"""What healthy brains show stands on the page: for the scan's sequence, at its threshold, live."""

import json
import re
import shutil
import subprocess
from html import unescape

import numpy as np
import pytest

from anatomaly.errors import WeightsError
from anatomaly.healthy_volume import FalseMl, HealthyVolume
from anatomaly.report.answer import (
    ORIGIN,
    answer,
    say_false_findings,
    say_limit,
    say_origin,
)
from anatomaly.report.index import read_entry
from anatomaly.report.layers import steps_up_to
from anatomaly.report.page import ASSETS, render_page

SENTENCE = (
    "At this threshold half of healthy brains show up to 1.3 mL of false findings, "
    "19 of 20 up to 5.3 mL."
)
"""At .4, a third of the way from .3 to .6 of the made-up figures."""


def text_of(page):
    return unescape(re.sub(r"<[^>]+>", "", page))


def test_the_page_says_it_twice(healthy_content, curve, made):
    page = render_page(healthy_content)
    assert re.search(r'<span id="healthy" aria-live="polite">(.*?)</span>', page)[1] == SENTENCE
    comparison = re.search(r'class="comparison">(.*?)</p>', page)[1]
    assert f"{SENTENCE} {ORIGIN}" in unescape(comparison)
    data = json.loads(re.search(r'id="page-data">(.*?)</script>', page)[1])
    assert HealthyVolume.from_json(data["healthy"]) == curve
    mark = int(re.search(r'<datalist id="threshold-marks"><option value="(\d+)"', page)[1])
    assert mark == steps_up_to(0.4, made.layers.map_step)
    assert "The weights’ own threshold is 0.4, marked on the slider." in text_of(page)


def test_a_threshold_by_hand_is_known_too(healthy_content):
    healthy_content.run["config"]["anomaly"]["threshold"] = 0.4
    healthy_content.run["healthy_ml"]["default"] = 0.2
    page = render_page(healthy_content)
    assert SENTENCE in text_of(page) and "given by hand" not in page
    assert "The weights’ own threshold is 0.2, marked" in text_of(page)


def test_a_default_beyond_the_slider_is_not_marked(healthy_content):
    healthy_content.run["healthy_ml"]["default"] = 0.99
    page = render_page(healthy_content)
    assert "The weights’ own threshold is 0.99." in text_of(page)
    assert "<datalist" not in page


@pytest.mark.parametrize("told", [None, {}])
def test_an_older_result_says_nothing_of_it(content, told):
    made = content()
    if told is not None:
        made.run["healthy_ml"] = told
    page = render_page(made)
    assert 'id="healthy"' not in page and "<datalist" not in page and 'list="' not in page
    assert "The threshold aims at less than 1 mL" in page


@pytest.mark.parametrize(
    ("ml", "said"),
    [
        (0.0, "As little as many healthy scans have"),
        (1.3, "As little as many"),
        (3.0, "Some healthy scans have as much"),
        (9.0, "More than healthy scans usually have."),
    ],
)
def test_the_verdict_follows_the_figures(healthy_content, ml, said):
    rows = [{"volume_mm3": str(ml * 1000)}] if ml else []
    assert answer(healthy_content.run, rows).comparison.startswith(said)


def test_little_is_no_proof_of_disease_where_drawn_brains_show_less(healthy_content):
    healthy_content.run["threshold"] = 0.6
    said = answer(healthy_content.run, [{"volume_mm3": "300"}]).comparison
    assert said.startswith("More than drawn healthy scans have, but so little may still be")
    assert "half of healthy brains show no false findings, 19 of 20 up to 0.03 mL." in said


def test_joined_sequences_have_no_figures(healthy_content):
    healthy_content.run.update(fused={"reference": "T1w"}, healthy_ml={})
    page = render_page(healthy_content)
    assert "the false alarms of each add up" in page and 'id="healthy"' not in page


def test_figures_that_cannot_be_are_refused_and_cost_the_index_one_line(healthy_content, tmp_path):
    healthy_content.run["healthy_ml"]["half"] = [1.0]
    with pytest.raises(WeightsError, match="lists of 3, 1, 3 values"):
        render_page(healthy_content)
    (tmp_path / "run.json").write_text(json.dumps(healthy_content.run))
    (tmp_path / "lesions.tsv").write_text("number\tvolume_mm3\n")
    assert read_entry(tmp_path, tmp_path).failed


def test_the_words():
    assert say_false_findings(None).endswith("so low a threshold was not measured.")
    assert say_false_findings(FalseMl(0, 0.004)) == (
        "At this threshold half of healthy brains show no false findings, 19 of 20 none."
    )


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's script with")
def test_the_script_says_what_the_program_says(curve):
    thresholds = [0.0, 0.049, *np.linspace(0.05, 1, 400).tolist()]
    script = (ASSETS / "healthy.js").read_text("utf-8")
    script += f"const curve = {json.dumps(curve.to_json())}, at = {json.dumps(thresholds)};"
    script += "console.log(JSON.stringify(at.map((x) => sayFalseFindings(curve, x))));"
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [say_false_findings(curve.at(x)) for x in thresholds]


def test_controls_of_ones_own_are_named():
    assert say_origin({}) == ORIGIN
    assert "all 12 of them" in say_origin({"controls": {"controls": 12}})
    assert say_origin({"controls": {"controls": 25}}).endswith("of your own scanner.")


def test_the_smallest_size_that_is_found_often_enough_is_said():
    contrasts = {"faint": [[0, 10], [2, 10], [7, 10]], "clear": [[9, 10], [7, 10], [10, 10]]}
    limit = {"sizes_ml": [0.1, 1.0, 3.0], "contrasts": contrasts | {"strong": [[0, 0]] * 3}}
    said = say_limit({"controls": 10, "limit": limit})
    assert "faint lesions are missed often, of 3 mL too (7 of 10 found)" in said
    assert "clear ones are found from 3 mL (10 of 10)" in said  # 1 mL is found less often
    assert "strong" not in said
