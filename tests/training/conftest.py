"""Made-up healthy people on the working grid: shells of tissue with folds, no data needed."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.utils.data import default_collate

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training import loop
from anatomaly.training.cohort import Subject
from anatomaly.training.pace import Pace
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesion_shapes import LesionShape

GREY_OF_CLASS = np.array([0, 30, 32, 110, 115, 125, 140, 110, 112, 170, 170, 160, 150, 45, 20])


@pytest.fixture(scope="session")
def labels() -> np.ndarray:
    """Classes of a round brain: rim, sulcal CSF, cortex, white matter, striatum, ventricle."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in TEMPLATE_SHAPE]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    coarse = np.random.default_rng(0).normal(size=[n // 8 for n in TEMPLATE_SHAPE])
    folds = ndimage.zoom(coarse.astype(np.float32), 8, order=1)
    out = np.zeros(TEMPLATE_SHAPE, np.uint8)
    for edge, index in ((0.92, 14), (0.87, 2), (0.83, 3)):
        out[radius < edge] = index
    out[radius + 0.05 * folds < 0.72] = 9
    out[(radius < 0.4) & (folds > 0.4)] = 4
    out[radius < 0.2] = 1
    return out


@pytest.fixture(scope="session")
def drawn(labels: np.ndarray) -> Subject:
    """A person of whom only the label map is known."""
    return Subject("drawn", labels, None)


@pytest.fixture(scope="session")
def scanned(labels: np.ndarray) -> Subject:
    """A person with a T1w image."""
    noise = np.random.default_rng(1).normal(0, 3, labels.shape)
    image = np.clip(GREY_OF_CLASS[labels] + noise, 0, 255).astype(np.uint8)
    return Subject("scanned", labels, image)


@pytest.fixture(scope="session")
def shapes() -> list[LesionShape]:
    """A box for each of the two kinds of real shapes."""
    return [
        LesionShape(torch.ones(9, 8, 7, dtype=torch.uint8), (60, 90, 80), "stroke"),
        LesionShape(torch.ones(4, 5, 6, dtype=torch.uint8), (80, 70, 60), "ms"),
    ]


@pytest.fixture
def ticking(monkeypatch):
    """Return a function that makes a clock, and gives it to the loop: it moves when looked at."""

    def start(seconds):
        looks = itertools.count(1)

        def clock():
            clock.now = next(looks) * seconds
            return clock.now

        clock.now = 0.0
        monkeypatch.setattr(loop, "Pace", partial(Pace, clock=clock))
        return clock

    return start


@pytest.fixture(name="batch", scope="module")
def fixture_batch(drawn, scanned, shapes):
    """Two pairs that lie in the brain."""
    pairs = PairGenerator([drawn, scanned], shapes, GeneratorConfig(patch=(32, 32, 32), seed=1))
    inside = [i for i in range(40) if pairs[i]["brain"].mean() > 0.6][:2]
    return default_collate([pairs[i] for i in inside])


@pytest.fixture(name="model", scope="module")
def fixture_model():
    torch.manual_seed(0)
    return PseudoHealthyModel()


@pytest.fixture(name="gradients", scope="module")
def fixture_gradients():
    """Return a function that tells which parts of a model received a gradient."""

    def gradients(model):
        """Names of the parts that received a gradient; clears them."""
        found = {
            name.split(".")[0]
            for name, p in model.named_parameters()
            if p.grad is not None and p.grad.abs().max() > 0
        }
        model.zero_grad(set_to_none=True)
        return found

    return gradients
