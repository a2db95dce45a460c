"""Means over data sets × sequences and the lead, reckoned by hand."""

import math
from dataclasses import replace

import pytest

from anatomaly.errors import ConfigError
from anatomaly.evaluation.benchmark.config import DatasetPlan
from anatomaly.evaluation.benchmark.overview import find_lead, mean_of, overview_lines


def row(method, sequence, ap, dice=0.1, status="ok", **more):
    found = {"dataset": "d", "sequence": sequence, "method": method, "stratum": "all"}
    figures = {"ap": ap, "dice": dice, "f1": 0.2} if status == "ok" else {}
    return found | {"status": status} | figures | more


ROWS = [
    row("bright", "T1w", 0.60, fp_ml_median=3.0),
    row("bright", "T2w", 0.20),
    row("twice", "T1w", 0.50),
    row("twice", "T2w", 0.10),
    row("broken", "T1w", 0.90),
    row("broken", "T2w", math.nan, status="failed"),
    row("twice", "T1w", 0.99) | {"stratum": "sex: F"},
]


def test_each_place_counts_once_and_strata_do_not():
    assert mean_of(ROWS, "twice", "ap") == (pytest.approx(0.3), 2)
    assert mean_of(ROWS, "bright", "fp_ml_median") == (3.0, 1)
    assert math.isnan(mean_of(ROWS, "twice", "fp_ml_median")[0])


def test_who_is_not_finished_is_no_rival():
    """The broken one is best where it was measured; its mean is of the easier part."""
    lead = find_lead(ROWS, "bright", ("twice", "broken"), "ap")
    assert (lead.rival, lead.own, lead.best) == ("twice", pytest.approx(0.4), pytest.approx(0.3))
    assert lead.points == pytest.approx(10)
    assert find_lead(ROWS, "broken", ("twice",), "ap") is None
    assert find_lead(ROWS, "twice", ("bright",), "ap").points == pytest.approx(-10)


def test_lines(config):
    config = replace(config, leader="bright", rivals=("twice", "broken"))
    text = "\n".join(overview_lines(config, ROWS))
    assert "| twice | 2 of 2 | 0.300 | 0.100 | 0.200 |  |" in text
    assert "| broken | 1 of 2 | 0.900 |" in text
    assert "best of the 1 of 2 rivals" in text
    assert "- AP: +10.00 points (0.400, `twice` 0.300)" in text
    assert "| d | T1w | 2 | 0.600 | broken | 0.900 | -30.00 |" in text
    assert "| d | T2w | 1 | 0.200 | twice | 0.100 | +10.00 |" in text
    assert "Not measured: `broken` (d T2w)." in text
    order = [line.split()[1] for line in text.splitlines() if " of 2 |" in line]
    assert order == ["bright", "twice", "broken"]
    assert overview_lines(config, ROWS[:1]) == []


def test_what_a_configuration_may_not_say(config):
    with pytest.raises(ConfigError, match="leader and rivals must be one of"):
        replace(config, leader="nobody")
    other = DatasetPlan("other", train=0, validation=0, learn_from="toy-set")
    both = replace(config, datasets=(*config.datasets, other))
    assert both.source_of(other) is config.datasets[0]
    assert both.source_of(config.datasets[0]) is config.datasets[0]
    with pytest.raises(ConfigError, match="learn_from must be one of toy-set"):
        replace(both, datasets=(*both.datasets, replace(other, name="third", learn_from="other")))
    with pytest.raises(ConfigError, match="train must be 0: it learns from toy-set"):
        replace(other, train=1)
