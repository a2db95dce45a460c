"""`anatomaly train` hands its options over and reports what comes back."""

import pytest

from anatomaly.errors import TrainingError
from anatomaly.training import calibration, choose, scorer, synthetic
from anatomaly.training.choose import ChoiceConfig
from anatomaly.training.loop import Progress


@pytest.fixture(name="asked")
def fixture_asked(monkeypatch):
    """Train nothing; returns the configurations that were given."""
    asked = []

    def train(config, say, report):
        asked.append(config)
        if config.loop.batch == 13:
            raise TrainingError("the checkpoint belongs to another model")
        say("20 anatomies")
        for step in (10, 20):
            report("joint", Progress(step, {"image": 0.25}, 1.0))

    monkeypatch.setattr(synthetic, "train_synthetic", train)
    return asked


def test_options_are_handed_over(run, asked, tmp_path):
    options = f"--lesions {tmp_path} --cohort {tmp_path} --steps joint=7 --steps anatomy=9"
    options += " --only joint --batch 2 --workers 3 --threads 4 --precision fp32 --device cuda:1"
    result = run("train", "synthetic", "-o", tmp_path / "run", *options.split())
    assert result.exit_code == 0, result.output
    config = asked[0]
    assert (config.output, config.lesions, config.cohort) == (tmp_path / "run", tmp_path, tmp_path)
    assert config.label_maps is None
    assert config.steps == {"joint": 7, "anatomy": 9}
    assert config.only == ("joint",)
    loop = config.loop
    assert (loop.batch, loop.workers, loop.threads) == (2, 3, 4)
    assert (loop.precision, loop.device) == ("fp32", "cuda:1")


def test_events_and_losses_are_shown_but_not_every_step(run, asked, tmp_path):
    err = run("train", "synthetic", "-o", tmp_path / "run", "--lesions", tmp_path).stderr
    assert "20 anatomies" in err
    assert "joint step 10: image 0.2500" in err
    assert "step 20" not in err  # less than half a minute later


def test_failed_training_is_1_and_wrong_usage_is_2(run, asked, tmp_path):
    base = ("train", "synthetic", "-o", tmp_path / "run", "--lesions", tmp_path)
    failed = run(*base, "--batch", "13")
    assert failed.exit_code == 1
    assert "belongs to another model" in failed.stderr
    assert run(*base, "--steps", "joint").exit_code == 2
    assert run(*base, "--steps", "joint=0").exit_code == 2
    assert run(*base, "--cohort", tmp_path / "none").exit_code == 2
    assert run("train", "synthetic", "-o", tmp_path / "run").exit_code == 2


def test_calibrate_hands_people_and_controls_over(run, monkeypatch, tmp_path):
    asked, prepared = [], []
    monkeypatch.setattr(calibration, "calibrate", lambda config, say: asked.append(config))
    monkeypatch.setattr(
        synthetic, "prepare_cohort", lambda folder, cache, say: prepared.append((folder, cache))
    )
    (tmp_path / "cache" / "train").mkdir(parents=True)
    controls = tmp_path / "controls"
    controls.mkdir()
    base = ("train", "calibrate", tmp_path, "--run", tmp_path, "--controls", controls)
    assert run(*base, "--count", "7", "--controls-count", "3").exit_code == 0
    assert prepared == [(controls, tmp_path / "cache" / "controls")]
    config = asked[0]
    assert config.people == (tmp_path / "cache" / "train",)  # there are no label maps
    assert (config.count, config.controls_count) == (7, 3)

    def fail(config, say):
        raise TrainingError("nobody there")

    monkeypatch.setattr(calibration, "calibrate", fail)
    failed = run(*base)
    assert failed.exit_code == 1
    assert "nobody there" in failed.stderr


def test_choose_hands_controls_and_shapes_over(run, monkeypatch, tmp_path):
    asked, prepared = [], []
    monkeypatch.setattr(choose, "choose_methods", lambda config, say: asked.append(config))
    monkeypatch.setattr(synthetic, "prepare_cohort", lambda *told: prepared.append(told[:2]))
    shapes = tmp_path / "shapes"
    shapes.mkdir()
    base = ("train", "choose", tmp_path, "--run", tmp_path, "--controls", tmp_path)
    assert run(*base, "--lesions", shapes, "--count", "60").exit_code == 0
    held_out = tmp_path / "cache" / "controls"
    assert prepared == [(tmp_path, held_out)]
    assert asked == [ChoiceConfig(tmp_path, held_out, (), shapes, 60, "cpu")]
    assert run(*base).exit_code == 2  # without shapes there is nothing to rank by


def test_scorer_hands_its_options_over(run, monkeypatch, tmp_path):
    asked = []

    def train(config, say, report):
        asked.append(config)
        if config.pairs == 13:
            raise TrainingError("the checkpoint belongs to another model")
        say("0: drawn")
        report(Progress(10, {"dice": 0.25}, 1.0))

    monkeypatch.setattr(scorer, "train_scorer", train)
    base = ("train", "scorer", tmp_path / "mine", "--run", tmp_path / "run", "--lesions", tmp_path)
    options = "--pairs 7 --steps 90 --patch 64 --seed 2 --batch 3 --workers 4 --threads 5"
    result = run(*base, *options.split(), "--precision", "fp32", "--device", "cuda:1")
    assert result.exit_code == 0, result.output
    assert "0: drawn" in result.stderr and "scorer step 10: dice 0.2500" in result.stderr
    config = asked[0]
    assert (config.weights, config.run) == (tmp_path / "mine", tmp_path / "run")
    assert (config.lesions, config.pairs, config.seed) == (tmp_path, 7, 2)
    assert config.patch == (64, 64, 64)
    loop = config.loop
    assert (loop.steps, loop.batch, loop.workers, loop.threads) == (90, 3, 4, 5)
    assert (loop.precision, loop.device, loop.checkpoint_seconds) == ("fp32", "cuda:1", 60.0)
    assert loop.learning_rate == scorer.SCORER_RATE
    assert run(*base, "--rate", "5e-4").exit_code == 0
    assert asked[1].loop.learning_rate == 5e-4

    failed = run(*base, "--pairs", "13")
    assert failed.exit_code == 1
    assert "belongs to another model" in failed.stderr
    assert run(*base, "--patch", "32").exit_code == 2
    assert run(*base, "--steps", "0").exit_code == 2
    assert run(*base[:-1], tmp_path / "none").exit_code == 2
    assert run(*base, "--rate", "0").exit_code == 2
    assert len(asked) == 3
