"""A method of slices goes on at the exact step, and its score does not depend on chance."""

import numpy as np
import pytest
import torch

from anatomaly.evaluation.baselines.dae import DenoisingAutoencoder
from anatomaly.evaluation.benchmark import method as method_module
from anatomaly.evaluation.benchmark.method import Budget, Trainer

BUDGET = Budget(steps=8, batch=2)


def weights(method):
    return torch.cat([p.detach().flatten() for p in method.parameters()])


def test_killed_and_resumed_equals_not_killed(small_healthy, tmp_path, monkeypatch):
    monkeypatch.setattr(method_module, "CHECKPOINT_SECONDS", 0.0)
    whole = DenoisingAutoencoder(seed=1)
    whole.fit(small_healthy, Trainer(tmp_path / "whole", BUDGET))
    killed = DenoisingAutoencoder(seed=1)
    steps, step = [], killed.step

    def dies(batch, number):
        steps.append(number)
        if number == 5:
            raise KeyboardInterrupt
        return step(batch, number)

    monkeypatch.setattr(killed, "step", dies)
    with pytest.raises(KeyboardInterrupt):
        killed.fit(small_healthy, Trainer(tmp_path / "killed", BUDGET))
    resumed = DenoisingAutoencoder(seed=1)
    go_on = resumed.step
    monkeypatch.setattr(resumed, "step", lambda b, n: steps.append(n) or go_on(b, n))
    resumed.fit(small_healthy, Trainer(tmp_path / "killed", BUDGET))
    assert steps == [0, 1, 2, 3, 4, 5, 5, 6, 7]
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=1e-6)
    assert not torch.equal(weights(whole), weights(DenoisingAutoencoder(seed=1)))
    first, second = (method.score(small_healthy[0]) for method in (whole, resumed))
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_the_state_of_torch_s_chance_is_left_alone(small_healthy):
    method = DenoisingAutoencoder(seed=1)
    torch.manual_seed(5)
    method.step({"image": torch.rand(2, 1, 32, 32), "mask": torch.ones(2, 1, 32, 32)}, 3)
    method.score(small_healthy[0])
    after = torch.rand(1)
    torch.manual_seed(5)
    torch.rand(2, 1, 32, 32)
    assert torch.equal(after, torch.rand(1))
