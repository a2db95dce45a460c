"""The engine: what it is told, and what it says when it cannot start."""

import sys

import pytest

from anatomaly.errors import TrainingError
from anatomaly.training.fabric import open_fabric


def test_one_process_is_the_default_and_the_same_engine_is_used_again():
    fabric = open_fabric("cpu", "bf16")
    assert (fabric.world_size, fabric.global_rank, str(fabric.device)) == (1, 0, "cpu")
    assert open_fabric("cpu", "bf16") is fabric
    assert open_fabric("cpu", "fp32") is not fabric


def test_without_lightning_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.fabric", None)
    open_fabric.cache_clear()
    with pytest.raises(TrainingError, match=r"pip install 'anatomaly\[train\]'"):
        open_fabric("cpu", "fp32")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("cuda:1", "fp32", 2), "one device, but 2"),
        (("cpu", "fp8"), "precision must be one of"),
        (("gpu9", "fp32"), "device gpu9"),
        (("cuda:77", "fp32"), "device cuda:77"),
    ],
)
def test_what_cannot_be_started(options, message):
    with pytest.raises(TrainingError, match=message):
        open_fabric(*options)
