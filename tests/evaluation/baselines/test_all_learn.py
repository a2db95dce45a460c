"""Every method that is trained learns: its loss falls, and a planted lesion stands out."""

import csv

import numpy as np
import pytest
import torch

from anatomaly.evaluation.baselines import fae, strega
from anatomaly.evaluation.benchmark.method import Budget, Trainer, find_method, method_names
from anatomaly.evaluation.benchmark.slices import cut_slices

ANY_GRID = ("anoddpm", "dae", "ddpm", "disyre", "fae", "itermask3d", "pddpm")
"""Fully convolutional ones are tried on small slices; the others have dense layers."""

BUDGETS = {
    "cddpm": Budget(steps=30, batch=4, learning_rate=5e-3),
    "f_anogan": Budget(steps=100, batch=4),
}
QUICK = ("ae", "dae", "fae", "itermask3d")
TRAINED = [name for name in method_names() if find_method(name).trained]


def losses_of(folder):
    """Sum of the losses at each logged step."""
    with (folder / "loss.csv").open() as stream:
        return [
            sum(float(v) for k, v in row.items() if k != "step") for row in csv.DictReader(stream)
        ]


@pytest.fixture(name="no_weights", autouse=True)
def fixture_no_weights(monkeypatch):
    """The shipped extractor wants the whole grid: blurred copies stand in for its features."""

    def features(model, prepared):
        image = cut_slices(prepared).image
        return torch.cat([image.roll(n, 2) - image.roll(-n, 3) for n in range(32)], dim=1)

    for module in (fae, strega):
        monkeypatch.setattr(module, "load_extractor", lambda: None)
    monkeypatch.setattr(fae, "first_features", features)
    monkeypatch.setattr(strega, "anatomical_image", lambda model, prepared: prepared.image)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name not in QUICK else []) for name in TRAINED],
)
def test_loss_falls_and_a_lesion_stands_out(
    name, healthy, small_healthy, draw_healthy, plant_block, tmp_path
):
    method = find_method(name).build("FLAIR", 0)
    people = small_healthy if name in ANY_GRID else healthy
    budget = BUDGETS.get(name, Budget(steps=40, batch=4, learning_rate=3e-3))
    method.fit(people, Trainer(tmp_path, budget))
    found = losses_of(max(tmp_path.iterdir(), key=lambda path: path.name == "encoder"))
    assert found[-1] < 0.9 * found[0], found
    ill, lesion = plant_block(draw_healthy(9, shape=people[0].image.shape))
    score = method.score(ill)
    assert score.shape == ill.image.shape
    assert score.dtype == np.float32
    assert score.min() >= 0
    assert not score[~ill.brain_mask].any()
    assert score[lesion].mean() > np.median(score[ill.brain_mask])
    assert method.parameters_count > 1000


def test_seventeen_methods_and_ours_are_there():
    """What a contributor adds does not matter here."""
    wanted = {
        "intensity_threshold", "ae", "vae", "ssim_ae", "cevae", "vae_restoration", "f_anogan",
        "dae", "ddpm", "anoddpm", "pddpm", "cddpm", "fae", "disyre", "itermask3d", "strega",
        "ours_no_edges",
    }  # fmt: skip
    assert len(wanted) == 17
    assert wanted | {"ours", "ours_paper"} <= set(method_names())
