"""A ball-shaped brain on a small grid, and networks whose answers are known beforehand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from anatomaly.evaluation.experiments import (
    deformation,
    disentanglement,
    edges,
    modality,
    new_sequence,
    thresholds,
    tissue_agreement,
)
from anatomaly.evaluation.experiments.drawn_brains import DrawnBrain
from anatomaly.model.pseudo_healthy import PatientAnatomy

SHAPE = (16, 24, 16)
MODULES = (
    deformation,
    disentanglement,
    edges,
    modality,
    new_sequence,
    thresholds,
    tissue_agreement,
)


def ball_brain(ventricle=2.5):
    """CSF inside, white matter around it, grey matter outside."""
    axes = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    mask = radius < 7
    csf, white = radius < ventricle, (radius >= ventricle) & (radius < 5)
    return DrawnBrain(np.stack([csf, mask & ~csf & ~white, white]).astype(np.float32), mask)


def one_hot(classes):
    return torch.nn.functional.one_hot(torch.from_numpy(classes).long(), 4).movedim(-1, 0)[None]


class FakeModel:
    """Knows the tissue of the ball; `copying` takes the scan's intensities for tissue instead.

    `leaky` lets intensities into what is restored from edges.
    """

    anatomy_restorers = ("oriented",)
    edges = "oriented"

    def __init__(self, brain, copying=False, leaky=False):
        self.tissue, self.copying, self.leaky = one_hot(brain.tissue_map).float(), copying, leaky
        self.mask = torch.from_numpy(brain.brain_mask)[None, None].float()

    def parameters(self):
        yield self.mask

    def extract(self, image):
        tissue = self.tissue
        if self.copying:
            classes = ((image[0, 0] * 3).floor().clamp(0, 2) + 1) * self.mask[0, 0]
            tissue = one_hot(classes.numpy().astype(np.uint8)).float()
        levels = torch.tensor([0, 0.29, 0.48, 0.72]).view(1, 4, 1, 1, 1)
        edges_ = (tissue[:, 2:3] > 0).float()
        return PatientAnatomy(image, (tissue * levels).sum(1, keepdim=True), tissue, edges_)

    def restore(self, anatomy, route):
        code = self.tissue if route == "edges" else anatomy.tissue_map
        if route == "edges" and self.leaky:
            code = code + 0.01 * anatomy.anatomical_image
        return code

    def modality_extractor(self, image, tissue_map):
        """The mean of each tissue, twice."""
        means = [image[tissue_map[:, n : n + 1] > 0].mean() for n in (1, 2, 3)]
        return torch.nan_to_num(torch.stack(means))[None].repeat(1, 2)

    def combine(self, code, modality_code, mask):
        """Each tissue has the intensity that the modality code says."""
        values = modality_code[:, :3].view(-1, 3, 1, 1, 1)
        return (code[:, 1:] * values).sum(1, keepdim=True) * mask


@pytest.fixture(name="brain")
def fixture_brain(monkeypatch):
    """Every experiment draws this ball, also where it asks for a deformed one."""
    brain = ball_brain()
    for module in MODULES:
        if hasattr(module, "draw_brain"):
            monkeypatch.setattr(module, "draw_brain", lambda *_: brain)
    return brain


@pytest.fixture(name="fake_model")
def fixture_fake_model(brain):
    return lambda **flaws: FakeModel(brain, **flaws)


@pytest.fixture(name="balls")
def fixture_balls():
    return SimpleNamespace(draw=ball_brain, model=FakeModel, shape=SHAPE)
