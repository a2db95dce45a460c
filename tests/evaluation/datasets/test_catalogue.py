"""What is listed is complete and right about its own layout."""

import re

import pytest

from anatomaly.errors import ConfigError, EvaluationError
from anatomaly.evaluation import datasets
from anatomaly.evaluation.datasets.catalogue import (
    DATASETS,
    all_datasets,
    find_cases,
    find_dataset,
)


def test_nine_test_sets_ixi_bids_and_our_cases():
    assert list(DATASETS) == [
        "brats-gli", "brats-men", "brats-met", "brats-ped", "brats-ssa",
        "atlas", "mslub", "msseg", "wmh", "ixi", "bids", "cases",
    ]  # fmt: skip


@pytest.mark.parametrize("name", list(DATASETS))
def test_the_layout_that_is_shown_is_the_one_that_is_found(name, write):
    """The first path of the layout, and whatever label goes with it, is found by the reader."""
    dataset = DATASETS[name]
    path = re.split(r"[ ,]", dataset.layout)[0]
    found = dataset.find(write({path: "scan"}))
    noted = {c.patient for c in found.cases} | {p.where for p in found.problems}
    assert any(part in path.replace("/", "_") for part in noted - {"all"}), (path, noted)
    for words in (dataset.title, dataset.holds, dataset.licence, dataset.apply):
        assert len(words) > 2


def test_a_file_is_all_that_a_set_needs(tmp_path, monkeypatch):
    (tmp_path / "set_of_a_test.py").write_text(
        "from anatomaly.evaluation.datasets.dataset import Dataset, Listing\n"
        "TOY = Dataset('of-a-test', 'Toy', 'nobody', 'none', 'none', 'a', lambda _: Listing())\n"
    )
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    assert list(all_datasets())[: len(DATASETS)] == list(DATASETS)
    assert "of-a-test" in all_datasets()
    assert find_dataset("of-a-test").title == "Toy"


def test_what_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no data set bratz; there are brats-gli"):
        find_dataset("bratz")
    with pytest.raises(EvaluationError, match=r"no such folder.*10\.34894/AECRSD.*CC BY-NC"):
        find_cases("wmh", tmp_path / "nowhere")
    with pytest.raises(EvaluationError, match="nothing of MSSEG 2016; expected Training/Center"):
        find_cases("msseg", tmp_path)
