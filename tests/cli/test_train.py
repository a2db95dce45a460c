"""`anatomaly train synthetic` hands its options over and reports what comes back."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from anatomaly.errors import ConfigError, TrainingError


@pytest.fixture(name="asked")
def fixture_asked(monkeypatch):
    """Put a fake in the place of the training; returns the configurations it was given."""
    asked = []

    def configure(**options):
        if options["workers"] > 64:
            raise ConfigError("workers must be at most 64")
        return SimpleNamespace(**options)

    def train(config):
        asked.append(config)
        if config.steps == 13:
            raise TrainingError("the checkpoint belongs to another configuration")
        return config.output / "weights"

    module = ModuleType("anatomaly.training.synthetic")
    module.SyntheticTrainingConfig = configure
    module.train_synthetic = train
    monkeypatch.setitem(sys.modules, "anatomaly.training.synthetic", module)
    return asked


def test_options_are_handed_over(run, asked, tmp_path):
    options = f"--data {tmp_path} --steps 7 --seed 3 --device cpu --threads 1 --workers 2"
    result = run("train", "synthetic", "-o", tmp_path / "run", *options.split())
    assert result.exit_code == 0, result.output
    assert vars(asked[0]) == {
        "output": tmp_path / "run",
        "data": tmp_path,
        "steps": 7,
        "seed": 3,
        "device": "cpu",
        "threads": 1,
        "workers": 2,
    }
    assert f"weights: {tmp_path / 'run' / 'weights'}" in result.stderr


def test_data_folder_comes_from_the_environment(run, asked, tmp_path, monkeypatch):
    monkeypatch.delenv("ANATOMALY_DATA", raising=False)
    assert run("train", "synthetic", "-o", tmp_path / "run").exit_code == 2
    monkeypatch.setenv("ANATOMALY_DATA", str(tmp_path))
    assert run("train", "synthetic", "-o", tmp_path / "run").exit_code == 0
    assert [config.data for config in asked] == [tmp_path]


def test_failed_training_is_1_and_bad_options_are_2(run, asked, tmp_path):
    base = ("train", "synthetic", "-o", tmp_path / "run", "--data", tmp_path)
    failed = run(*base, "--steps", "13")
    assert failed.exit_code == 1
    assert "belongs to another configuration" in failed.stderr
    assert run(*base, "--workers", "65").exit_code == 2
