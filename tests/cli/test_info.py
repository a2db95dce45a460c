"""`anatomaly info`."""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from types import ModuleType

import pytest


@dataclass(frozen=True)
class Card:
    name: str
    sha256: str
    sequences: tuple[str, ...]
    thresholds: dict[str, float]
    healthy_ml: dict[str, dict[str, list[float]]]


CURVES = {"T1w": {"threshold": [0.3, 0.5], "half": [1.5, 0.0], "most": [5.0, 3.5]}}


@pytest.fixture(name="weights")
def fixture_weights(monkeypatch):
    module = ModuleType("anatomaly.weights")
    module.list_weights = lambda: [Card("tiny", "ab12" * 16, ("T1w",), {"T1w": 0.4}, CURVES)]
    monkeypatch.setitem(sys.modules, "anatomaly.weights", module)


@pytest.mark.usefixtures("weights")
def test_info_shows_weights_versions_and_devices(run):
    result = run("info")
    assert result.exit_code == 0, result.output
    assert "Weights: tiny" in result.stdout
    assert "ab12" * 16 in result.stdout
    assert "T1w 0.4" in result.stdout
    assert "T1w 0.75 in half, 4.25 in 95 %" in result.stdout
    assert version("numpy") in result.stdout
    assert "cores" in result.stdout


@pytest.mark.usefixtures("weights")
def test_info_says_when_there_are_no_weights(run):
    sys.modules["anatomaly.weights"].list_weights = list
    assert "Weights: none" in run("info").stdout


@pytest.mark.usefixtures("weights")
def test_devices_asks_torch(run):
    result = run("info", "--devices")
    assert result.exit_code == 0
    assert "torch uses" in result.stdout
