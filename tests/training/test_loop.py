"""The loop on a tiny stage: exact resumption, rates, logs, and a loss that is no number."""

import csv

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from anatomaly.errors import TrainingError
from anatomaly.model.unet import UNet3d
from anatomaly.training.checkpoint import read_checkpoint
from anatomaly.training.loop import LoopConfig, rate_at, train_stage


class TinyData(Dataset):
    """Sample i depends on i alone."""

    def __init__(self):
        self.seen = []

    def __len__(self):
        return 10**9

    def __getitem__(self, index):
        self.seen.append(index)
        rng = torch.Generator().manual_seed(index)
        return {"image": torch.rand(1, 16, 16, 16, generator=rng)}


class TinyStage(nn.Module):
    """Rebuild the square of the image; the corruption depends on the step, as in the real ones."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.trained = UNet3d(1, 1, (8, 8))
        self.frozen = UNet3d(1, 1, (8, 8))

    def step(self, batch, step):
        noise = torch.rand(batch["image"].shape, generator=torch.Generator().manual_seed(step))
        found = self.trained(batch["image"] + 0.1 * noise)
        return {
            "square": (found - batch["image"] ** 2).pow(2).mean(),
            "size": 0.01 * found.abs().mean(),
        }


class BrokenStage(TinyStage):
    """Breaks at step 3."""

    def step(self, batch, step):
        found = super().step(batch, step)
        return found | {"size": found["size"] * (float("nan") if step == 3 else 1.0)}


class KilledError(Exception):
    pass


def kill_at(step):
    def report(progress):
        if progress.step == step:
            raise KilledError

    return report


def config(steps=30, **options):
    settings = {"batch": 2, "workers": 0, "precision": "fp32", "checkpoint_seconds": 0.0}
    return LoopConfig(steps=steps, **(settings | options))


def rows(folder):
    with (folder / "loss.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_run_ends_with_the_same_weights(tmp_path, precision):
    straight = TinyStage()
    train_stage(straight, TinyData(), tmp_path / "straight", config(precision=precision))

    with pytest.raises(KilledError):
        train_stage(
            TinyStage(), TinyData(), tmp_path / "killed", config(precision=precision), kill_at(20)
        )
    assert read_checkpoint(tmp_path / "killed")[1] == {"step": 19}
    resumed, data = TinyStage(), TinyData()
    train_stage(resumed, data, tmp_path / "killed", config(precision=precision))

    assert data.seen == list(range(38, 60))  # two samples a step, none twice, none left out
    before = TinyStage().trained.state_dict()
    for name, tensor in straight.trained.state_dict().items():
        assert torch.equal(tensor, resumed.trained.state_dict()[name]), name
    assert not torch.equal(before["head.weight"], resumed.trained.head.weight)


def test_only_what_is_trained_changes_and_the_loss_falls(tmp_path):
    stage = TinyStage()
    frozen = {k: v.clone() for k, v in stage.frozen.state_dict().items()}
    reports = []
    train_stage(stage, TinyData(), tmp_path, config(60, learning_rate=1e-2), reports.append)
    assert all(torch.equal(v, frozen[k]) for k, v in stage.frozen.state_dict().items())
    assert [r.step for r in reports] == [10, 20, 30, 40, 50, 60]
    assert reports[-1].losses["square"] < 0.7 * reports[0].losses["square"]


def test_the_log_has_means_of_ten_steps_and_no_line_twice(tmp_path):
    stage, seen, step = TinyStage(), [], TinyStage.step

    def remember(batch, number):
        found = step(stage, batch, number)
        seen.append(found["square"].item())
        return found

    stage.step = remember
    with pytest.raises(KilledError):
        train_stage(stage, TinyData(), tmp_path, config(), kill_at(20))
    train_stage(TinyStage(), TinyData(), tmp_path, config())
    log = rows(tmp_path)
    assert [row["step"] for row in log] == ["10", "20", "30"]
    assert list(log[0]) == ["step", "square", "size"]
    assert float(log[0]["square"]) == pytest.approx(sum(seen[:10]) / 10, abs=1e-5)
    # the resumed run averages what it saw, one step here: still the size of a loss
    assert float(log[1]["square"]) == pytest.approx(seen[19], rel=0.05)


def test_a_finished_stage_is_left_alone(tmp_path):
    train_stage(TinyStage(), TinyData(), tmp_path, config(10))
    written = (tmp_path / "checkpoint.safetensors").read_bytes()
    data, stage = TinyData(), TinyStage()
    train_stage(stage, data, tmp_path, config(10))
    assert data.seen == []
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == written
    tensors, _ = read_checkpoint(tmp_path)
    assert torch.equal(stage.trained.head.weight, tensors["head.weight"])


def test_checkpoints_come_by_the_clock_and_at_the_end(tmp_path):
    with pytest.raises(KilledError):
        train_stage(
            TinyStage(), TinyData(), tmp_path, config(20, checkpoint_seconds=1e6), kill_at(10)
        )
    assert not (tmp_path / "checkpoint.safetensors").exists()
    train_stage(TinyStage(), TinyData(), tmp_path, config(20, checkpoint_seconds=1e6))
    assert read_checkpoint(tmp_path)[1] == {"step": 20}


def test_a_loss_that_is_no_number_stops_before_it_does_harm(tmp_path):
    stage = BrokenStage()
    with pytest.raises(TrainingError, match=r"step 3: .*not finite.*'size': nan"):
        train_stage(stage, TinyData(), tmp_path, config(10))
    tensors, state = read_checkpoint(tmp_path)
    assert state == {"step": 3}
    assert all(torch.isfinite(t).all() for t in tensors.values())
    assert all(torch.isfinite(p).all() for p in stage.trained.parameters())


def test_a_damaged_checkpoint_is_named_not_overwritten(tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"rubbish")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        train_stage(TinyStage(), TinyData(), tmp_path, config(10))
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == b"rubbish"


def test_learning_rate_by_hand():
    loop = LoopConfig(steps=1000, learning_rate=2e-3)
    assert rate_at(0, loop) == pytest.approx(2e-3 / 100)
    assert rate_at(49, loop) == pytest.approx(2e-3 * 0.5, rel=0.01)
    assert rate_at(500, loop) == pytest.approx(2e-3 * (0.05 + 0.95 / 2))
    assert rate_at(1000, loop) == pytest.approx(2e-3 * 0.05)
    assert rate_at(5000, loop) == pytest.approx(2e-3 * 0.05)


def test_weights_of_losses_count_in_the_sum_alone(tmp_path):
    """Twice the weight of both losses is twice the gradient, which AdamW does not see."""
    stages = [TinyStage() for _ in range(3)]
    for stage, weights in zip(
        stages, ({}, {"square": 2.0, "size": 2.0}, {"size": 9.0}), strict=True
    ):
        folder = tmp_path / str(len(weights)) / str(weights.get("square"))
        train_stage(stage, TinyData(), folder, config(10, weights=weights))
    one, two, other = (stage.trained.head.weight for stage in stages)
    assert torch.allclose(one, two, atol=1e-6)
    assert not torch.allclose(one, other, atol=1e-6)
    logs = [rows(folder)[0] for folder in (tmp_path / "0" / "None", tmp_path / "1" / "None")]
    assert float(logs[0]["size"]) == pytest.approx(float(logs[1]["size"]), rel=0.2)  # unweighted
