"""Checkpoints: what goes in comes out, damage is named, nothing is pickled."""

import pickle
import struct

import pytest
import torch

from anatomaly.errors import TrainingError
from anatomaly.model.unet import UNet3d
from anatomaly.training.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint

FILE = "checkpoint.safetensors"


def trained(seed, channels=(8, 8)):
    """A small net after two steps, with its optimiser."""
    torch.manual_seed(seed)
    net = UNet3d(1, 1, channels)
    net.to(memory_format=torch.channels_last_3d)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(2):
        optimiser.zero_grad()
        net(torch.rand(1, 1, 8, 8, 8)).square().sum().backward()
        optimiser.step()
    return net, optimiser


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_round_trip(tmp_path):
    net, optimiser = trained(0)
    save_checkpoint(tmp_path, net, optimiser, {"step": 2, "note": "µ"})
    other, fresh = trained(1)
    assert not equal(net.state_dict(), other.state_dict())
    assert load_checkpoint(tmp_path, other, fresh) == {"step": 2, "note": "µ"}
    assert equal(net.state_dict(), other.state_dict())
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        assert equal(optimiser.state[mine], fresh.state[theirs])
    tensors, state = read_checkpoint(tmp_path)
    assert state["step"] == 2
    assert equal(tensors, net.state_dict())


def test_a_restored_optimiser_steps_like_the_old_one(tmp_path):
    net, optimiser = trained(0)
    save_checkpoint(tmp_path, net, optimiser, {"step": 2})
    other, fresh = trained(1)
    load_checkpoint(tmp_path, other, fresh)
    x = torch.rand(1, 1, 8, 8, 8)
    for model, stepper in ((net, optimiser), (other, fresh)):
        stepper.zero_grad()
        model(x).square().sum().backward()
        stepper.step()
    assert equal(net.state_dict(), other.state_dict())


def test_nothing_is_pickled(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a checkpoint must not be pickled")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch, "save", refuse)
    net, optimiser = trained(0)
    save_checkpoint(tmp_path, net, optimiser, {"step": 2})
    load_checkpoint(tmp_path, net, optimiser)
    content = (tmp_path / FILE).read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    assert content[8:9] == b"{" and header < len(content)


def test_nothing_else_is_left(tmp_path):
    net, optimiser = trained(0)
    for step in (1, 2):
        save_checkpoint(tmp_path / "new" / "folder", net, optimiser, {"step": step})
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == [FILE]
    assert read_checkpoint(tmp_path / "new" / "folder")[1] == {"step": 2}


def test_a_kill_while_writing_leaves_the_old_one(tmp_path, monkeypatch):
    net, optimiser = trained(0)
    save_checkpoint(tmp_path, net, optimiser, {"step": 1})

    def killed(_, path, **__):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("anatomaly.training.checkpoint.save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, net, optimiser, {"step": 2})
    assert read_checkpoint(tmp_path)[1] == {"step": 1}


@pytest.mark.parametrize("damage", ["cut", "zeros", "empty", "text", "missing"])
def test_damage_is_named(tmp_path, damage):
    net, optimiser = trained(0)
    save_checkpoint(tmp_path, net, optimiser, {"step": 1})
    file = tmp_path / FILE
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(
            {
                "cut": content[: len(content) // 2],
                "zeros": bytes(64) + content[64:],
                "empty": b"",
                "text": b"no checkpoint at all",
            }[damage]
        )
    for read in (
        lambda: read_checkpoint(tmp_path),
        lambda: load_checkpoint(tmp_path, net, optimiser),
    ):
        with pytest.raises(TrainingError, match="not a checkpoint"):
            read()


@pytest.mark.parametrize("metadata", [None, {"other": "1"}, {"state": "{no json"}])
def test_foreign_safetensors_are_named(tmp_path, metadata):
    from safetensors.torch import save_file

    save_file({"model.x": torch.zeros(2)}, tmp_path / FILE, metadata=metadata)
    with pytest.raises(TrainingError, match="not a checkpoint"):
        read_checkpoint(tmp_path)


def test_another_model_is_named(tmp_path):
    save_checkpoint(tmp_path, *trained(0, (8, 12)), {"step": 1})
    with pytest.raises(TrainingError, match="another model"):
        load_checkpoint(tmp_path, *trained(0, (8, 8)))
