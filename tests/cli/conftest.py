"""The command line runs over a fake pipeline here: these tests are about the command line."""

import importlib.util
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anatomaly.cli.main import app


@pytest.fixture(name="fake")
def fixture_fake(monkeypatch):
    """Put the fake in the place of `anatomaly.pipeline`; returns its Detector."""
    spec = importlib.util.spec_from_file_location(
        "fake_pipeline", Path(__file__).with_name("fake_pipeline.py")
    )
    source = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fake_pipeline", source)
    spec.loader.exec_module(source)
    module = source.fake_module()
    monkeypatch.setitem(sys.modules, "anatomaly.pipeline", module)
    return module.Detector


@pytest.fixture(name="run")
def fixture_run(monkeypatch):
    """Run `anatomaly ...` with a wide terminal that is not a terminal."""
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
