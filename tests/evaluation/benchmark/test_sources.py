"""Who is for what: data sets that learn from another one, and people who would leak."""

from dataclasses import replace

import numpy as np
import pytest

from anatomaly.errors import EvaluationError
from anatomaly.evaluation.benchmark.config import DatasetPlan
from anatomaly.evaluation.benchmark.phantoms import names_of
from anatomaly.evaluation.benchmark.sources import split_scans

OTHER = DatasetPlan("other", train=0, validation=0, lesions=1, healthy=0, learn_from="toy-set")


@pytest.fixture(name="draw")
def fixture_draw(tmp_path):
    """Writes tiny people of a plan; who each is can be told."""

    def draw(plan, people=None):
        folder = tmp_path / plan.name / "FLAIR"
        folder.mkdir(parents=True)
        for name in names_of(plan):
            who = (people or {}).get(name, f"{plan.name}/{name}")
            cube = np.ones((2, 2, 2))
            np.savez(folder / f"{name}.image.npz", image=cube, brain=cube > 0, person=who)
            np.savez(folder / f"{name}.label.npz", lesion=cube > 0)
        return tmp_path

    return draw


def test_networks_and_thresholds_of_another(config, draw):
    both = replace(config, datasets=(*config.datasets, OTHER))
    draw(both.datasets[0])
    split = split_scans(both, OTHER, "FLAIR", draw(OTHER))
    assert [scan.person for scan in split.train] == ["toy-set/train-000", "toy-set/train-001"]
    assert len(split.validation) == 2
    assert [scan.person for scan in split.test] == ["other/lesions-000"]
    own = replace(OTHER, name="own", validation=1)
    split = split_scans(replace(both, datasets=(*config.datasets, own)), own, "FLAIR", draw(own))
    assert [scan.person for scan in split.validation] == ["own/validation-000"]
    assert len(split.train) == 2


@pytest.mark.parametrize("part", ["train-001", "validation-000"])
def test_who_learns_or_sets_the_threshold_is_not_tested(config, draw, part):
    """The same person, under other names, in the set that others learn from."""
    both = replace(config, datasets=(*config.datasets, OTHER))
    draw(both.datasets[0], {part: "IXI012"})
    data = draw(OTHER, {"lesions-000": "IXI012"})
    with pytest.raises(EvaluationError, match=f"IXI012: both in {part.split('-')[0]} and in test"):
        split_scans(both, OTHER, "FLAIR", data)


def test_within_one_set_too(config, draw):
    plan = config.datasets[0]
    data = draw(plan, {"train-000": "IXI012", "healthy-000": "IXI012"})
    with pytest.raises(EvaluationError, match="IXI012: both in train and in test"):
        split_scans(config, plan, "FLAIR", data)
