"""Our own detector as a method says what the product says; its features have their shapes."""

import numpy as np
import pytest

from anatomaly.config import DetectConfig
from anatomaly.evaluation.baselines.fae import FeatureAutoencoder
from anatomaly.evaluation.benchmark.method import find_method
from anatomaly.evaluation.benchmark.own_features import (
    anatomical_image,
    first_features,
    load_extractor,
)
from anatomaly.evaluation.experiments.drawn_brains import draw_brain, means_of, render
from anatomaly.networks import limit_threads
from anatomaly.pipeline import Detector
from anatomaly.score import score_prepared
from anatomaly.volume import PreparedImage


@pytest.fixture(name="brain", scope="module")
def fixture_brain():
    brain = draw_brain(3)
    return PreparedImage(render(brain, means_of("FLAIR"), 3), brain.brain_mask, "FLAIR")


@pytest.mark.slow
def test_the_same_map_as_the_product(brain):
    detector = Detector(DetectConfig(device="cpu"))
    with limit_threads(1):  # as the method runs: other sums of threads differ by .002 at the most
        product = score_prepared(detector.networks, brain, detector.methods["FLAIR"])
    ours = find_method("ours").build("FLAIR", 0)
    np.testing.assert_allclose(ours.score(brain), product.anomaly_map, atol=1e-6)
    assert ours.parameters_count > 3e6


@pytest.mark.slow
def test_features_and_tissue_map(brain):
    model = load_extractor()
    features = first_features(model, brain)
    assert features.shape == (80, 32, 80, 96)
    inside = brain.image[::2, ::2, ::2].transpose(2, 0, 1)
    flat = features.permute(1, 0, 2, 3).flatten(1).numpy()
    seen = [abs(np.corrcoef(channel, inside.ravel())[0, 1]) for channel in flat]
    assert max(seen) > 0.6  # slices lie where they should
    tissue = anatomical_image(model, brain)
    assert tissue.shape == brain.image.shape
    assert 0.6 < tissue.max() <= 0.73
    assert not tissue[~brain.brain_mask].any()


@pytest.mark.slow
def test_the_frozen_extractor_is_neither_trained_nor_counted():
    assert FeatureAutoencoder(0).parameters_count < 300_000
