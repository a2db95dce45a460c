"""Configurations are checked before anything runs."""

import pytest

from anatomaly.errors import ConfigError
from anatomaly.evaluation.benchmark.config import packaged_configs, parse_config, read_config

GOOD = {
    "seed": 1,
    "methods": ["intensity_threshold"],
    "against": "intensity_threshold",
    "sequences": ["T1w"],
    "datasets": [{"name": "drawn"}],
}
SET = {"name": "s", "kind": "folder", "set": "mslub", "folder": "f"}


def test_packaged_ones_can_be_read():
    assert packaged_configs() == ["phantoms", "phantoms-all"]
    small, whole = map(read_config, packaged_configs())
    assert set(small.methods) < set(whole.methods)
    assert len(whole.methods) == 19


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'seed = 1\nmethods = ["ours"]\nagainst = "ours"\nsequences = ["T2w"]\n'
        '[[datasets]]\nname = "one"\nplanted.volume_ml = [1, 2]\n'
    )
    config = read_config(str(path))
    assert (config.name, config.datasets[0].planted.volume_ml) == ("mine", (1, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["nothing"]}, "no method nothing; there are ae"),
        ({"against": "ours"}, "against must be one of intensity_threshold"),
        ({"sequences": ["PD"]}, "sequence must be one of"),
        ({"sequences": []}, "sequences: one or more"),
        ({"seed": -1}, "seed must be"),
        ({"sead": 1}, "unknown or missing entry"),
        ({"budget": {"steps": 0}}, "steps must be 1 or more"),
        ({"budget": {"learning_rate": 2}}, "learning_rate"),
        ({"datasets": [{"name": "a b"}]}, "use a-z"),
        ({"datasets": [{"name": "a"}, {"name": "a"}]}, "each once"),
        ({"datasets": [{"name": "a", "train": 0}]}, "train must be 1 or more"),
        ({"datasets": [{"name": "a", "anatomy": "mars"}]}, "anatomy must be one of"),
        ({"datasets": [{"name": "a", "anatomy": "label_maps"}]}, "folder is needed"),
        ({"datasets": [{"name": "a", "anatomy": "cohort"}]}, "folder is needed"),
        ({"datasets": [SET]}, "healthy_set is needed"),
        ({"datasets": [SET | {"folder": "$NOT_SET_ANYWHERE/f"}]}, "set this environment variable"),
        ({"datasets": [{"name": "a", "planted": {"volume_ml": [3, 2]}}]}, "rising"),
        ({"datasets": [{"name": "a", "planted": {"size": [3, 2]}}]}, "there are count"),
    ],
)
def test_what_is_refused(change, message):
    assert parse_config(GOOD, "good").name == "good"
    with pytest.raises(ConfigError, match=message):
        parse_config(GOOD | change, "bad")


def test_folders_of_the_environment(monkeypatch):
    monkeypatch.setenv("SOME_DATA", "/there")
    own = {"name": "a", "anatomy": "cohort", "folder": "$SOME_DATA/c", "shapes": "${SOME_DATA}"}
    plan = parse_config(GOOD | {"datasets": [own]}, "x").datasets[0]
    assert (plan.folder, plan.shapes) == ("/there/c", "/there")


def test_no_such_file():
    with pytest.raises(ConfigError, match="no such file, and none of phantoms"):
        read_config("nowhere.toml")
