"""The command line runs over a fake pipeline here: these tests are about the command line."""

import importlib.util
import sys
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anatomaly.cli.main import app
from anatomaly.cli.work import Job, JobQueue
from anatomaly.config import DetectConfig


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


@pytest.fixture(name="stand_in")
def fixture_stand_in(monkeypatch, tmp_path):
    """Return a task that other processes can import, and what its log says was started."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setattr(tempfile, "tempdir", None)
    module = importlib.import_module("stand_in_task")
    for name in ("log", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    return lambda **config: module.StandIn(
        DetectConfig(**config), tmp_path / "out", tmp_path / "log"
    )


@pytest.fixture(name="starts")
def fixture_starts(tmp_path):
    """Count how often something was started: a scan by its name, or `load`."""
    return lambda name: len(list((tmp_path / "log").glob(f"{name}.*")))


@pytest.fixture(name="run_all")
def fixture_run_all():
    """Run jobs of these names; return their outcomes by name."""

    def run_all(engine, *names):
        queue = JobQueue(Job(name, Path(f"{name}.nii.gz")) for name in names)
        started = []
        with engine:
            ended = dict(engine.run(queue, started.append))
        assert len(ended) == len({job.name for job in started})
        return {job.name: outcome for job, outcome in ended.items()}

    return run_all
