"""`anatomaly train cohort` and `finetune` hand their options over."""

import pytest

from anatomaly.errors import TrainingError
from anatomaly.training import cohort_run, finetune


@pytest.fixture(name="asked")
def fixture_asked(monkeypatch, tmp_path):
    """Train nothing; returns the configurations that were given."""
    asked = []

    def train(config, say, report):
        asked.append(config)
        if config.seed == 13:
            raise TrainingError("nobody left to train on")
        say("12 sessions, 2 held out")

    def adapt(config, say, report):
        train(config, say, report)
        return tmp_path / "new-weights"

    monkeypatch.setattr(cohort_run, "train_cohort", train)
    monkeypatch.setattr(finetune, "finetune", adapt)
    return asked


def test_cohort_options_are_handed_over(run, asked, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.touch()
    options = f"--lesions {tmp_path} --recipe {recipe} --steps joint=7 --only joint --seed 4"
    options += " --sequence T2w --sequence T1w --held-out-share 0.25 --validate-every 50"
    options += " --patience 3 --batch 8 --device cuda --devices 4 --nodes 2 --precision fp32"
    result = run("train", "cohort", tmp_path, "-o", tmp_path / "run", *options.split())
    assert result.exit_code == 0, result.output
    assert "12 sessions" in result.stderr
    (config,) = asked
    assert (config.bids, config.lesions, config.recipe) == (tmp_path, tmp_path, recipe)
    assert (config.steps, config.only, config.seed) == ({"joint": 7}, ("joint",), 4)
    assert config.sequences == ("T1w", "T2w") and config.held_out_share == 0.25
    loop = config.loop
    assert (loop.validate_every, loop.patience, loop.batch) == (50, 3, 8)
    assert (loop.device, loop.devices, loop.nodes, loop.precision) == ("cuda", 4, 2, "fp32")


def test_cohort_defaults(run, asked, tmp_path):
    assert run("train", "cohort", tmp_path, "-o", tmp_path / "run").exit_code == 0
    (config,) = asked
    assert config.sequences == ("T1w", "T2w", "FLAIR") and config.lesions is None
    assert config.held_out_share == 0.1 and config.loop.validate_every == 200
    assert (config.loop.devices, config.loop.nodes) == (1, 1)


def test_finetune_options_are_handed_over(run, asked, tmp_path):
    base = ("train", "finetune", "default", "--cohort", tmp_path, "-o", tmp_path / "run")
    result = run(*base, "--steps", "40", "--sequence", "FLAIR")
    assert result.exit_code == 0, result.output
    assert "new-weights" in result.stderr
    (config,) = asked
    assert (config.weights, config.bids, config.steps) == ("default", tmp_path, {"finetune": 40})
    assert config.sequences == ("FLAIR",)


def test_failures_are_1_and_wrong_usage_is_2(run, asked, tmp_path):
    base = ("train", "cohort", tmp_path, "-o", tmp_path / "run")
    failed = run(*base, "--seed", "13")
    assert failed.exit_code == 1 and "nobody left" in failed.stderr
    assert run(*base, "--sequence", "PDw").exit_code == 2
    assert run(*base, "--held-out-share", "1.5").exit_code == 2
    assert run("train", "cohort", tmp_path / "none", "-o", tmp_path / "run").exit_code == 2
    assert run("train", "finetune", "default", "-o", tmp_path / "run").exit_code == 2


def test_only_the_first_process_says_that_it_is_done(run, asked, tmp_path, monkeypatch):
    base = ("train", "cohort", tmp_path, "-o", tmp_path / "run")
    assert "done:" in run(*base).stderr
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert "done:" not in run(*base).stderr
