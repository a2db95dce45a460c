"""Groups of options: a field becomes an option, the command gets the group."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from anatomaly.cli.option_groups import expand_groups


@dataclass(frozen=True)
class Speed:
    batch: Annotated[int, typer.Option(min=1, help="Pairs a step.")] = 2
    device: str = "cpu"


@dataclass(frozen=True)
class FastSpeed(Speed):
    batch: Annotated[int, typer.Option(min=1, help="Patches a step.")] = 8
    nodes: int = 1


@dataclass(frozen=True)
class Source:
    folder: Annotated[Path, typer.Option("--from", help="Where it is.")]


received = []


def train(weights: str, *, speed: FastSpeed, source: Source, steps: int = 3) -> None:
    """Train a little."""
    received.append((weights, speed, source, steps))


@pytest.fixture(name="run")
def fixture_run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    received.clear()
    app = typer.Typer()
    app.command()(expand_groups(train))
    return lambda *words: CliRunner().invoke(app, words)


def test_the_command_gets_its_groups(run):
    result = run("mine", "--batch", "4", "--from", "there", "--steps", "7")
    assert result.exit_code == 0, result.output
    assert received == [("mine", FastSpeed(batch=4), Source(Path("there")), 7)]


def test_defaults_are_those_of_the_group_itself(run):
    assert run("mine", "--from", "there").exit_code == 0
    assert received == [("mine", FastSpeed(8, "cpu", 1), Source(Path("there")), 3)]


def test_ranges_and_required_options_hold(run):
    assert "--batch" in run("mine", "--from", "there", "--batch", "0").stderr
    assert "Missing option" in run("mine").stderr
    assert received == []


def test_the_help_shows_fields_and_no_group(run):
    shown = run("--help").output
    assert "Train a little." in shown
    for words in ("--batch", "Patches a step.", "--device", "--nodes", "--from", "--steps"):
        assert words in shown
    assert "Pairs a step." not in shown
    assert "--speed" not in shown and "--source" not in shown


def test_the_order_is_that_of_parameters_and_fields():
    names = list(inspect.signature(expand_groups(train)).parameters)
    assert names == ["weights", "batch", "device", "nodes", "folder", "steps"]


def twice(speed: Speed, batch: int = 1) -> None:
    """Take one name two times."""


def test_two_options_of_one_name_are_refused():
    with pytest.raises(ValueError, match="batch"):
        expand_groups(twice)
