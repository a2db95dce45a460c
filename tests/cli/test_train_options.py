"""Groups of training options become what the trainings are told, name by name."""

from dataclasses import asdict, fields

import pytest

from anatomaly.cli import train_options as o
from anatomaly.cli.train import ScorerLoopOptions
from anatomaly.cli.train_cohort import FinetuneLoopOptions, PeopleOptions
from anatomaly.training.cohort_run import CohortConfig
from anatomaly.training.loop import LoopConfig
from anatomaly.training.run import RunConfig

LOOPS = [
    o.LoopOptions,
    o.DistributedLoopOptions,
    o.ValidatedLoopOptions,
    FinetuneLoopOptions,
    ScorerLoopOptions,
]


@pytest.mark.parametrize("group", LOOPS)
def test_every_loop_option_reaches_the_field_of_its_name(group):
    other = {"precision": "fp32", "device": "cuda:1"}
    values = {f.name: other.get(f.name, 3 + n) for n, f in enumerate(fields(group))}
    loop = group(**values).config()
    assert values.items() <= asdict(loop).items()
    left = {name: value for name, value in asdict(loop).items() if name not in values}
    assert left.items() <= asdict(LoopConfig(steps=0)).items()


def test_steps_are_the_recipes_unless_given():
    assert o.LoopOptions().config().steps == 0
    assert o.LoopOptions(batch=2).config(90) == LoopConfig(90, batch=2)


def test_defaults_of_each_training():
    assert o.DistributedLoopOptions().config() == LoopConfig(steps=0)
    validated, short = o.ValidatedLoopOptions().config(), FinetuneLoopOptions().config()
    assert (validated.validate_every, validated.patience) == (200, 10)
    assert (short.validate_every, short.patience) == (50, 5)
    assert ScorerLoopOptions().config().batch == 2


def test_a_course_is_read(tmp_path):
    course = o.CourseOptions("default", tmp_path, ["joint=7", "edges=9"], ["joint"], 4)
    config = RunConfig(output=tmp_path, **course.settings())
    assert (config.start_from, config.recipe, config.seed) == ("default", tmp_path, 4)
    assert (config.steps, config.only) == ({"joint": 7, "edges": 9}, ("joint",))
    assert RunConfig(output=tmp_path, **o.CourseOptions().settings()) == RunConfig(tmp_path)


def test_people_are_read(tmp_path):
    people = PeopleOptions(tmp_path, ["FLAIR", "T1w"], 0.25)
    config = CohortConfig(output=tmp_path, bids=tmp_path, **people.settings())
    assert (config.lesions, config.held_out_share) == (tmp_path, 0.25)
    assert config.sequences == ("T1w", "FLAIR")
    whole = CohortConfig(output=tmp_path, bids=tmp_path, **PeopleOptions().settings())
    assert whole == CohortConfig(output=tmp_path, bids=tmp_path)
