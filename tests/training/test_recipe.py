"""The recipe: its list, the sums that it gives, what a file may change and what is refused."""

import pytest
import torch
from torch.utils.data import default_collate

from anatomaly.errors import TrainingError
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.complete import COMPLETE_LINES
from anatomaly.training.recipe import STAGES, read_recipe
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator


def write(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def plan_of(name, plans=STAGES):
    return next(plan for plan in plans if plan.name == name)


def test_each_stage_starts_from_earlier_ones_of_the_recipe():
    done: set[str] = set()
    for plan in STAGES:
        assert set(plan.after) <= done
        done.add(plan.name)
    assert len({plan.seed for plan in STAGES}) == len(STAGES) == len(done)


def test_numbers_of_the_stages_that_the_bundled_weights_came_from():
    numbers = {plan.name: (plan.steps, plan.learning_rate, plan.seed) for plan in STAGES}
    assert numbers["anatomy"] == (4000, 1.2e-3, 1)
    assert numbers["restoration"] == (480, 1.5e-3, 2)
    assert numbers["edges"] == (6000, 1.5e-3, 4)
    assert numbers["straight"] == (1500, 2e-3, 7)
    assert numbers["joint"] == (1200, 6e-4, 3)
    weights = {plan.name: plan.weights for plan in STAGES}
    assert weights["restoration"] == weights["joint"]
    assert weights["joint"]["tissue"] == 0.3 and weights["joint"]["cycle"] == 0.01
    assert weights["straight"] == {"straight": 1.0, "code": 0.5}
    model = PseudoHealthyModel()
    assert plan_of("joint").make(model).extractor_share == 0.85
    assert plan_of("restoration").make(model).extractor_share == 0.0


def test_rates_and_shares_are_those_of_the_bundled_weights():
    """Those that the card of `synthetic-8` names."""
    numbers = {p.name: (p.learning_rate, p.share) for p in read_recipe(None, COMPLETE_LINES)}
    assert numbers == {
        "anatomy": (1.2e-3, 0.16),
        "routes": (1.3e-3, 0.41),
        "scorer": (1e-3, 0.37),
        "whole": (3e-4, 0.06),
    }


@pytest.mark.parametrize("plan", STAGES, ids=lambda plan: plan.name)
def test_every_loss_has_a_weight_and_every_weight_a_loss(plan, drawn, shapes):
    settings = GeneratorConfig(patch=(32, 32, 32), seed=1)
    batch = default_collate([PairGenerator([drawn], shapes, settings)[3]])
    with torch.no_grad():
        assert set(plan.make(PseudoHealthyModel()).step(batch, 0)) == set(plan.weights)


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    path = write(
        tmp_path,
        "[edges]\nsteps = 7\ndeformed_share = 0.25\n[joint.weights]\ncycle = 0\n[straight]\n"
        "learning_rate = 1e-4\nseed = 90\n",
    )
    plans = read_recipe(path)
    edges, joint, straight = (plan_of(name, plans) for name in ("edges", "joint", "straight"))
    assert (edges.steps, edges.learning_rate) == (7, 1.5e-3)
    assert edges.make(PseudoHealthyModel()).deformed_share == 0.25
    assert joint.weights == dict(plan_of("joint").weights) | {"cycle": 0.0}
    assert (straight.learning_rate, straight.seed, straight.steps) == (1e-4, 90, 1500)
    assert plan_of("anatomy", plans) == plan_of("anatomy")


def test_the_switches_of_ablations_are_on_unless_a_file_turns_them_off(tmp_path):
    model = PseudoHealthyModel()
    assert plan_of("edges").make(model).corrupt is True
    assert plan_of("disentangle").make(model).one_hot is True
    plans = read_recipe(write(tmp_path, "[edges]\ncorrupt = false\n[disentangle]\none_hot = false"))
    assert plan_of("edges", plans).make(model).corrupt is False
    assert plan_of("disentangle", plans).make(model).one_hot is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[edge]\nsteps = 3", r"unknown stages \['edge'\]; there are \['anatomy'"),
        ("[edges.weights]\nimage = 3", r"\[edges.weights\] has unknown losses \['image'\]"),
        ("[anatomy]\ndeformed_share = 1", r"\[anatomy\] has unknown entries \['deformed_share'\]"),
        ("[edges]\nsteps = -1", "steps must be a whole number >= 0, got -1"),
        ("[edges]\nseed = 1.5", "seed must be a whole number"),
        ("[edges]\nlearning_rate = 0", "learning_rate must lie between 0 and 1, got 0"),
        ("[edges]\nlearning_rate = '1'", "learning_rate must lie"),
        ("[edges]\ndeformed_share = 1.5", "deformed_share must lie in"),
        ("[edges]\ncorrupt = 0", r"\[edges\] corrupt must be true or false, got 0"),
        ("[disentangle]\none_hot = 'no'", "one_hot must be true or false, got no"),
        ("[straight]\none_hot = true", r"\[straight\] has unknown entries \['one_hot'\]"),
        ("[edges.weights]\ntissue = -1", "weight of tissue must be >= 0, got -1"),
        ("[edges.weights]\ntissue = nan", "weight of tissue must be >= 0"),
        ("edges = 3", "edges must be a table"),
        ("[edges]\nweights = 3", "edges.weights must be a table"),
        ("no toml", "not a recipe"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    with pytest.raises(TrainingError, match=message):
        read_recipe(write(tmp_path, text))


def test_a_missing_file(tmp_path):
    with pytest.raises(TrainingError, match="not a recipe"):
        read_recipe(tmp_path / "none.toml")
