"""The loop on a tiny stage: exact resumption, validation, several processes, rates and logs."""

import csv
import os
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, default_collate

from anatomaly.errors import TrainingError
from anatomaly.model.unet import UNet3d
from anatomaly.training import loop as loop_module
from anatomaly.training.checkpoint import read_checkpoint, read_result
from anatomaly.training.loop import LoopConfig, rank_batches, rate_at, train_stage


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
    """Gives no number at some steps."""

    def __init__(self, *broken):
        super().__init__()
        self.broken = broken

    def step(self, batch, step):
        found = super().step(batch, step)
        return found | {"size": found["size"] * (float("nan") if step in self.broken else 1.0)}


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


def read_rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def rows(folder):
    return read_rows(folder / "loss.csv")


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
    stage = BrokenStage(*range(3, 10))
    with pytest.raises(TrainingError, match=r"step 7: .*not finite for the 5th .*'size': nan"):
        train_stage(stage, TinyData(), tmp_path, config(20))
    tensors, state = read_checkpoint(tmp_path)
    assert state == {"step": 7}
    assert all(torch.isfinite(t).all() for t in tensors.values())
    assert all(torch.isfinite(p).all() for p in stage.trained.parameters())


def test_a_step_whose_gradient_is_no_number_is_left_out(tmp_path):
    stage, found = BrokenStage(2, 3, 4, 5, 7, 8, 9), []
    for steps in (2, 6, 7, 10, 11):  # ends before and after the broken ones
        train_stage(stage, TinyData(), tmp_path, config(steps))
        found.append(stage.trained.head.weight.detach().clone())
    same = [torch.equal(a, b) for a, b in pairwise(found)]
    assert same == [True, False, True, False]


def test_lost_steps_count_in_a_row_and_are_not_in_the_log(tmp_path):
    train_stage(BrokenStage(2, 3, 4, 5, 7, 8, 9), TinyData(), tmp_path, config(20))
    rows = (tmp_path / "loss.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["10", "20"]
    assert not any("nan" in row for row in rows)


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


def validating(steps, **options):
    return config(steps, validate_every=5, **options)


class HeldOut(TinyData):
    """Four samples that training never sees."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return super().__getitem__(10**6 + index)


def test_validation_is_the_mean_over_the_held_out_samples(tmp_path):
    stage, held_out = TinyStage(), HeldOut()
    weights = {"square": 1.0, "size": 3.0}
    train_stage(stage, TinyData(), tmp_path, validating(5, weights=weights), held_out=held_out)
    with torch.no_grad():
        found = [stage.step(default_collate([held_out[i]]), i) for i in range(4)]
    square, size = (sum(f[k].item() for f in found) / 4 for k in ("square", "size"))
    (row,) = read_rows(tmp_path / "validation.csv")
    assert list(row) == ["step", "total", "square", "size"]
    assert float(row["square"]) == pytest.approx(square, abs=2e-5)
    assert float(row["total"]) == pytest.approx(square + 3 * size, abs=2e-5)


def test_validation_changes_nothing_but_what_is_kept(tmp_path):
    plain, watched = TinyStage(), TinyStage()
    train_stage(plain, TinyData(), tmp_path / "plain", config(20))
    train_stage(watched, TinyData(), tmp_path / "watched", validating(20), held_out=HeldOut())
    first, second = (read_checkpoint(tmp_path / n)[0] for n in ("plain", "watched"))
    assert all(torch.equal(first[k], second[k]) for k in first)


class WorseningStage(TinyStage):
    """Held-out loss falls until step 10, then rises, whatever is learnt."""

    def __init__(self, turns=10):
        super().__init__()
        self.turns, self.done = turns, 0

    def step(self, batch, step):
        found = super().step(batch, step)
        if torch.is_grad_enabled():
            self.done = step + 1
            return found
        return {"square": found["square"] * 0 + abs(self.done - self.turns)}


def test_the_best_weights_are_kept_and_returned_and_patience_ends_a_stage(tmp_path):
    stage, kept = WorseningStage(), {}
    save = stage.trained.state_dict

    def remember(progress):
        kept[progress.step] = {k: v.clone() for k, v in save().items()}

    loop = validating(100, patience=2)
    train_stage(stage, TinyData(), tmp_path, loop, remember, HeldOut())
    assert [row["step"] for row in read_rows(tmp_path / "validation.csv")] == [
        "5",
        "10",
        "15",
        "20",
    ]
    tensors, state = read_checkpoint(tmp_path)
    assert state == {"step": 20, "best": 0.0, "best_step": 10, "stale": 2}
    best, _ = read_result(tmp_path)
    for name, tensor in stage.trained.state_dict().items():
        assert torch.equal(tensor, best[name]) and torch.equal(tensor, kept[10][name])
        assert torch.equal(tensors[name], kept[20][name])
    # asked again, it has ended; with more patience it goes on from where it was
    data = TinyData()
    train_stage(WorseningStage(), data, tmp_path, loop, held_out=HeldOut())
    assert data.seen == []
    train_stage(WorseningStage(), data, tmp_path, validating(100, patience=3), held_out=HeldOut())
    assert sorted(set(data.seen)) == list(range(40, 50))


def test_a_killed_validated_run_ends_the_same(tmp_path):
    loop = validating(40, patience=3)
    straight = WorseningStage(20)
    train_stage(straight, TinyData(), tmp_path / "a", loop, held_out=HeldOut())
    for step in (10, 20, 30):
        with pytest.raises(KilledError):
            train_stage(
                WorseningStage(20), TinyData(), tmp_path / "b", loop, kill_at(step), HeldOut()
            )
    resumed = WorseningStage(20)
    train_stage(resumed, TinyData(), tmp_path / "b", loop, held_out=HeldOut())
    for name in ("checkpoint.safetensors", "best.safetensors", "validation.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    for name, tensor in straight.trained.state_dict().items():
        assert torch.equal(tensor, resumed.trained.state_dict()[name])


def test_an_old_best_is_forgotten_by_a_run_that_does_not_validate(tmp_path):
    train_stage(TinyStage(), TinyData(), tmp_path, validating(10), held_out=HeldOut())
    train_stage(TinyStage(), TinyData(), tmp_path, config(20))
    assert read_checkpoint(tmp_path)[1] == {"step": 20}
    assert read_result(tmp_path)[1] == {"step": 20}


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
def test_the_samples_of_a_step_do_not_depend_on_the_number_of_processes(ranks):
    loop = LoopConfig(steps=5, batch=6)
    shares = [list(rank_batches(2, loop, rank, ranks)) for rank in range(ranks)]
    for step in range(3):
        seen = [i for share in shares for i in share[step]]
        assert seen == list(range((step + 2) * 6, (step + 3) * 6))


SCRIPT = """
import importlib.util, sys
from pathlib import Path
import torch
spec = importlib.util.spec_from_file_location("tiny", sys.argv[1])
tiny = importlib.util.module_from_spec(spec)
sys.modules["tiny"] = tiny
spec.loader.exec_module(tiny)
from anatomaly.training.fabric import open_fabric
folder = Path(sys.argv[2])
for name in ("first", "second"):  # a second stage must not start processes again
    loop = tiny.validating(12, batch=4, **{sys.argv[3]: 2})
    stage = tiny.QuietStage()
    tiny.train_stage(stage, tiny.TinyData(), folder / name, loop, held_out=tiny.HeldOut())
rank = open_fabric("cpu", "fp32", loop.devices, 1, loop.processes).global_rank
torch.save(stage.trained.state_dict(), folder / f"rank{rank}.pt")
"""


class QuietStage(TinyStage):
    """Without noise: the loss of a sample does not depend on which process sees it."""

    def step(self, batch, step):
        found = self.trained(batch["image"])
        return {"square": (found - batch["image"] ** 2).pow(2).mean()}


@pytest.mark.slow
@pytest.mark.parametrize("sharing", ["devices", "processes"])
def test_two_processes_learn_what_one_learns(tmp_path, sharing):
    """Two devices with a process each, or one device that two processes share."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LOCAL_RANK", "WORLD_SIZE"))}
    subprocess.run(
        [sys.executable, script, __file__, tmp_path / "two", sharing],
        check=True,
        timeout=240,
        env=clean,
    )
    one = QuietStage()
    train_stage(one, TinyData(), tmp_path / "one", validating(12, batch=4), held_out=HeldOut())
    first, second = (torch.load(tmp_path / "two" / f"rank{rank}.pt") for rank in (0, 1))
    for name, tensor in one.trained.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(tensor, first[name], atol=1e-4), name
    two, single = (read_rows(tmp_path / n / "validation.csv") for n in ("two/second", "one"))
    assert [row["step"] for row in two] == ["5", "10"]
    for mine, theirs in zip(single, two, strict=True):
        assert float(mine["total"]) == pytest.approx(float(theirs["total"]), abs=2e-5)


def test_a_batch_that_devices_cannot_share(tmp_path, monkeypatch):
    class Two:
        world_size = 2

    monkeypatch.setattr(loop_module, "open_fabric", lambda *_: Two())
    with pytest.raises(TrainingError, match="batch 3 must be a multiple of the 2 devices"):
        train_stage(TinyStage(), TinyData(), tmp_path, config(batch=3))


def test_by_the_clock_the_rate_falls_with_the_time_and_the_checkpoint_knows_the_share(
    tmp_path, monkeypatch, ticking
):
    """The clock moves a second whenever somebody looks: two looks a step, ten seconds."""
    ticking(1.0)
    seen, rate = [], loop_module.rate_at
    monkeypatch.setattr(
        loop_module, "rate_at", lambda *told: seen.append((told[2], rate(*told))) or seen[-1][1]
    )
    data = TinyData()
    train_stage(TinyStage(), data, tmp_path, config(0, seconds=10.0))
    state = read_checkpoint(tmp_path)[1]
    assert state == {"step": len(seen), "share": 1.0} and 3 <= len(seen) <= 6
    shares, rates = zip(*seen, strict=True)
    assert shares[0] < 0.15 and 0.6 < shares[-1] <= 1 and list(shares) == sorted(shares)
    assert rates[-1] < 0.5 * max(rates) and max(rates) > 0.9e-3
    assert [row["step"] for row in rows(tmp_path)] == [str(len(seen))]
    # it has ended: nothing is drawn, and the weights are there
    again, stage = TinyData(), TinyStage()
    train_stage(stage, again, tmp_path, config(0, seconds=10.0))
    assert again.seen == []
    assert torch.equal(stage.trained.head.weight, read_checkpoint(tmp_path)[0]["head.weight"])
