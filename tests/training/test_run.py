"""A run: shares of tissue, which stages are trained, and what each goes on from."""

import numpy as np
import pytest
import torch

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import run as run_module
from anatomaly.training.cohort import Subject
from anatomaly.training.recipe import STAGES
from anatomaly.training.run import RunConfig, StageData, say_news, tissue_share, train_stages


def test_tissue_shares_by_counting(tmp_path):
    first, second = np.zeros(TEMPLATE_SHAPE, np.uint8), np.zeros(TEMPLATE_SHAPE, np.uint8)
    first[40:44, 60:64, 80:84] = 9  # white matter, one whole block on the left
    second[40:44, 60:64, 80:82] = 3  # cortex, half of it
    subjects = [Subject("a", first, None), Subject("b", second, None)]
    found = tissue_share(subjects, tmp_path)
    assert found.shape == (1, 3, 40, 48, 40)
    # half of the people, and half again because the other hemisphere has none
    assert found[0, 2, 10, 15, 20] == 0.25
    # voxels 40 to 43 lie across from 117 to 120: three in block 29, one in block 30
    assert found[0, 2, 29:31, 15, 20].tolist() == [0.1875, 0.0625]
    assert found[0, 1, 10, 15, 20] == 0.125
    assert found[0, 1, 29:31, 15, 20].tolist() == [0.09375, 0.03125]
    assert found.sum().item() == pytest.approx(0.75)
    assert torch.equal(tissue_share([], tmp_path), found)  # kept with the run


def test_what_was_cached_is_no_news_but_is_gone_through():
    said, drawn = [], []

    def prepare():
        for line in ("a: cached", "b: prepared T1w", "c: skipped: cached: no", "d: cached"):
            drawn.append(line)
            yield line

    say_news(prepare(), said.append)
    assert said == ["b: prepared T1w", "c: skipped: cached: no"]
    assert len(drawn) == 4  # a preparation works only while its lines are asked for


@pytest.fixture(name="trained")
def fixture_trained(monkeypatch):
    """Train and load nothing; what would be, in order."""
    events = []

    def train(stage, data, folder, loop, report, held_out):
        folder.mkdir(parents=True)
        events.append((folder.name, loop, data, held_out))

    monkeypatch.setattr(run_module, "train_stage", train)
    monkeypatch.setattr(
        run_module, "load_stage", lambda model, output, name: events.append(f"< {name}")
    )
    return events


def names(events):
    return [e if isinstance(e, str) else e[0] for e in events]


def train(tmp_path, **options):
    config = RunConfig(output=tmp_path / "run", **options)
    train_stages(PseudoHealthyModel(), config, lambda plan: StageData(plan.name, plan.seed))


def test_every_stage_goes_on_from_those_that_it_names(tmp_path, trained):
    train(tmp_path)
    after = {plan.name: [f"< {name}" for name in plan.after] for plan in STAGES}
    assert names(trained) == [n for plan in STAGES for n in (*after[plan.name], plan.name)]
    for plan, event in zip(STAGES, [e for e in trained if isinstance(e, tuple)], strict=True):
        _, loop, data, held_out = event
        assert (loop.steps, loop.learning_rate) == (plan.steps, plan.learning_rate)
        assert (loop.weights, data, held_out) == (plan.weights, plan.name, plan.seed)


def test_a_stage_of_no_steps_is_left_out_and_not_gone_on_from(tmp_path, trained):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[disentangle]\nsteps = 0\n[joint.weights]\ntissue = 0.5")
    train(tmp_path, recipe=recipe, steps={"joint": 9})
    assert "disentangle" not in names(trained) and "< disentangle" not in names(trained)
    _, loop, _, _ = trained[-1]
    assert loop.steps == 9 and loop.weights["tissue"] == 0.5


def test_with_weights_to_start_from_only_what_is_there_is_loaded(tmp_path, trained):
    (tmp_path / "run" / "restoration").mkdir(parents=True)
    train(tmp_path, start_from="default", only=("straight",))
    assert names(trained) == ["< restoration", "straight"]
