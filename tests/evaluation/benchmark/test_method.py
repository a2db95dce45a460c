"""Adding a method takes one file; every method says where it comes from."""

import pytest

from anatomaly.errors import ConfigError
from anatomaly.evaluation import baselines
from anatomaly.evaluation.benchmark.method import find_method, method_names


@pytest.mark.parametrize("name", method_names())
def test_every_method_names_its_source_and_what_differs(name):
    card = find_method(name)
    assert card.title
    assert card.differs
    known = ("arXiv:", "doi 10.", "PMLR", "this package")
    assert any(word in card.source for word in known), f"source names none of {known}"


def test_a_file_is_all_that_a_method_needs(tmp_path, monkeypatch):
    (tmp_path / "method_of_a_test.py").write_text(
        "from anatomaly.evaluation.benchmark.method import MethodCard\n"
        "METHOD = MethodCard('toy', 'nowhere', 'all', lambda sequence, seed: None)\n"
    )
    (tmp_path / "no_method.py").write_text("")
    monkeypatch.setattr(baselines, "__path__", [*baselines.__path__, str(tmp_path)])
    assert "method_of_a_test" in method_names()
    assert find_method("method_of_a_test").title == "toy"
    with pytest.raises(ConfigError, match="expected METHOD"):
        find_method("no_method")
    with pytest.raises(ConfigError, match="no method nothing; there are ae, "):
        find_method("nothing")
