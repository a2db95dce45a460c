"""A toy method and a toy split, as CONTRIBUTING asks of a new method."""

import numpy as np
import pytest

from anatomaly.evaluation.benchmark import method as method_module
from anatomaly.evaluation.benchmark.config import BenchmarkConfig, DatasetPlan
from anatomaly.evaluation.benchmark.method import Budget, MethodCard
from anatomaly.evaluation.benchmark.scans import BenchmarkScan, OpenedScan, Split, Truth
from anatomaly.volume import PreparedImage, Volume

SHAPE = (20, 22, 18)


class Brightness:
    """A toy: brightness is the score. Counts what it is asked."""

    parameters_count = 7

    def __init__(self, gain=1.0):
        self.gain, self.scored = gain, 0

    def fit(self, healthy, trainer):
        assert all(isinstance(image, PreparedImage) for image in healthy)

    def score(self, prepared):
        self.scored += 1
        return self.gain * prepared.image


def make_scan(name, ill=False, person="", seed=0, **strata):
    """A noisy cube; a block of 64 voxels is bright in those who are ill."""
    rng = np.random.default_rng([seed, sum(map(ord, name))])
    brain = np.zeros(SHAPE, bool)
    brain[2:-2, 2:-2, 2:-2] = True
    image = (rng.uniform(0.1, 0.6, SHAPE) * brain).astype(np.float32)
    lesion = np.zeros(SHAPE, bool)
    if ill:
        lesion[5:9, 5:9, 5:9] = True
        image[lesion] += 0.4
    prepared = PreparedImage(image, brain, "FLAIR")
    opened = OpenedScan(prepared, Volume(brain, np.diag([2.0, 2.0, 2.0, 1.0])), lambda s: s)
    label = (lambda: Truth(lesion, np.zeros_like(lesion))) if ill else None
    disease = "toy" if ill else "healthy"
    strata = {"disease": disease} | strata
    return BenchmarkScan(name, person or name, "FLAIR", lambda: opened, label, **strata)


@pytest.fixture(name="make_scan")
def fixture_make_scan():
    return make_scan


@pytest.fixture(name="split")
def fixture_split():
    return Split(
        (make_scan("a"), make_scan("b")),
        (make_scan("c"), make_scan("d")),
        (make_scan("ill-1", ill=True), make_scan("ill-2", ill=True), make_scan("well")),
    )


@pytest.fixture(name="toys")
def fixture_toys(monkeypatch):
    """Three methods by name: one as it should be, one that is worse, one that fails."""
    made = {"bright": Brightness(), "twice": Brightness(2.0), "broken": None}
    found = method_module.find_method

    def find(name):
        if name not in made:
            return found(name)
        return MethodCard(name, "nowhere", "all", lambda sequence, seed: made[name], False)

    for place in ("config", "cell", "write"):
        monkeypatch.setattr(f"anatomaly.evaluation.benchmark.{place}.find_method", find)
    return made


@pytest.fixture(name="config")
def fixture_config(toys):
    return BenchmarkConfig(
        name="toy",
        seed=3,
        methods=("bright", "twice", "broken"),
        against="bright",
        sequences=("FLAIR",),
        datasets=(DatasetPlan("toy-set", train=2, validation=2, lesions=2, healthy=1),),
        budget=Budget(steps=1),
    )
