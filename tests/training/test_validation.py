"""Thresholds from healthy brains by hand, score variants, and scans that are drawn once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from anatomaly.config import AnomalyConfig
from anatomaly.training.validation import (
    VARIANTS,
    ValidationScan,
    cached_validation,
    healthy_threshold,
    score_scan,
)


def test_threshold_keeps_the_budget_in_half_of_the_brains():
    """Eleven brains of 100 voxels of 1 mL: scores 0.01 … 1.00, times a factor each."""
    scores = np.arange(1, 101).reshape(5, 5, 4) / 100
    maps = [scores * factor for factor in np.linspace(0.1, 1.0, 11)]
    threshold = healthy_threshold(maps, 1.0, half_ml=2.0, most_ml=90.0)
    volumes = [(m > threshold).sum() for m in maps]
    assert np.median(volumes) <= 2
    lower = [(m > 0.9 * threshold).sum() for m in maps]
    assert np.median(lower) > 2


def test_threshold_keeps_the_budget_in_nearly_all():
    maps = [np.full((10, 10, 1), 0.01) for _ in range(19)] + [np.arange(100.0).reshape(10, 10, 1)]
    assert healthy_threshold(maps, 1.0, half_ml=50.0, most_ml=5.0) > 0.01
    assert healthy_threshold(maps[:-1], 1.0, half_ml=50.0, most_ml=5.0) == pytest.approx(0.01)


@pytest.fixture(name="scan")
def fixture_scan() -> ValidationScan:
    rng = np.random.default_rng(0)
    image = rng.random((20, 22, 24)).astype(np.float32)
    return ValidationScan("T2w", image, np.ones(image.shape, bool), image > 0.99)


def test_scores_of_the_variants(scan: ValidationScan):
    phi = torch.full((1, 1, *scan.image.shape), 0.5)
    plain = AnomalyConfig(score="residual", smooth_sigma_mm=0, erosion_mm=0)
    brighter = score_scan(scan, phi, plain)
    assert np.allclose(brighter, np.clip(scan.image - 0.5, 0, None), atol=1e-6)
    both = score_scan(scan, phi, replace(plain, polarity="both"))
    assert np.allclose(both, np.abs(scan.image - 0.5), atol=1e-6)
    healthy = np.full((5, 5, 6), 0.02, np.float32)
    halved = score_scan(scan, phi, replace(plain, score="normalised"), healthy)
    assert np.allclose(halved, brighter / 2, atol=1e-6)
    with pytest.raises(ValueError, match="healthy people"):
        score_scan(scan, phi, VARIANTS["normalised"])
    assert (score_scan(scan, phi, VARIANTS["hybrid"])[:3] == 0).all()


def test_scans_are_drawn_once(tmp_path: Path, scan: ValidationScan):
    drawn = []

    def draw() -> Iterator[ValidationScan]:
        for _ in range(2):
            drawn.append(1)
            yield scan

    first = list(cached_validation(tmp_path, draw(), "T2w", 2, "lesion"))
    again = list(cached_validation(tmp_path, draw(), "T2w", 2, "lesion"))
    assert len(drawn) == 2
    assert np.allclose(again[1].image, scan.image, atol=1e-3)
    assert np.array_equal(first[0].lesion, scan.lesion)
