"""Thresholds from healthy brains by hand, score variants, and scans that are drawn once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from anatomaly.config import AnomalyConfig
from anatomaly.engine import LesionLogit, RebuiltScan, put_contrast_back
from anatomaly.errors import WeightsError
from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.model.lesion_scorer import LesionScorer
from anatomaly.model.pseudo_healthy import Extracted, Rebuilt
from anatomaly.training import validation
from anatomaly.training.validation import (
    HEALTHY,
    VALIDATION_KINDS,
    ValidationScan,
    cached_validation,
    draw_validation,
    healthy_threshold,
    load_refine,
    rebuild_scan,
    score_scan,
)
from anatomaly.weights import WeightsCard


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
    return ValidationScan("T2w", image, np.ones(image.shape, bool), image > 0.99, "spots")


def rebuilt_as(scan: ValidationScan, value: float) -> RebuiltScan:
    """An even pseudo-healthy image."""
    x = torch.from_numpy(scan.image)[None, None]
    phi, none = torch.full_like(x, value), np.zeros(scan.image.shape)
    return RebuiltScan(x, phi, none.astype(np.uint8), none.astype(bool), (phi,))


def test_scores_of_the_variants(scan: ValidationScan):
    phi = rebuilt_as(scan, 0.5)
    plain = AnomalyConfig(score="residual", smooth_sigma_mm=0, erosion_mm=0)
    brighter = score_scan(scan, phi, plain)
    assert np.allclose(brighter, np.clip(scan.image - 0.5, 0, None), atol=1e-6)
    both = score_scan(scan, phi, replace(plain, polarity="both"))
    assert np.allclose(both, np.abs(scan.image - 0.5), atol=1e-6)
    healthy = np.full((5, 5, 6), 0.02, np.float32)
    halved = score_scan(scan, phi, replace(plain, score="normalised"), healthy)
    assert np.allclose(halved, brighter / 2, atol=1e-6)
    with pytest.raises(ValueError, match="healthy people"):
        score_scan(scan, phi, AnomalyConfig(score="normalised"))
    assert (score_scan(scan, phi, AnomalyConfig(score="hybrid"))[:3] == 0).all()


def test_the_refined_score_is_what_its_network_says(scan: ValidationScan):
    asked = []

    def refine(rebuilt: RebuiltScan, sequence: str) -> LesionLogit:
        asked.append(sequence)
        return LesionLogit(rebuilt.image - 1, rebuilt.image, torch.ones(1))

    raw = AnomalyConfig(score="refined", smooth_sigma_mm=0, erosion_mm=0)
    for slope, given in ((12.5, {}), (3, {"slope": 3})):
        found = score_scan(scan, rebuilt_as(scan, 0.5), raw, refine=refine, **given)
        expected = 1 / (1 + np.exp(1 - (1 + slope) * scan.image))
        assert np.allclose(found, expected, atol=1e-6)
    assert asked == ["T2w", "T2w"]
    smooth = score_scan(scan, rebuilt_as(scan, 0.5), AnomalyConfig(score="refined"), refine=refine)
    assert (smooth > 0).all()  # no rim is left out
    with pytest.raises(ValueError, match="needs its network"):
        score_scan(scan, rebuilt_as(scan, 0.5), AnomalyConfig(score="refined"))


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
    assert [found.kind for found in first + again] == ["spots"] * 4


SMALL = (16, 20, 24)


class FakePairs(torch.utils.data.Dataset):
    """Pair i has a lesion of 100 · i voxels, but the third has none; keeps its configuration."""

    def __init__(self, subjects: list, shapes: list, config: object) -> None:
        FakePairs.config = config

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        lesion = torch.zeros(np.prod(SMALL))
        voxels = 0 if index == 3 else 100 * index
        lesion[:voxels] = 0.35
        lesion[voxels:] = 0.25  # below the share that counts
        brain = torch.ones(1, *SMALL)
        brain[:, 0] = 0
        image = torch.full((2, 1, *SMALL), index / 100)
        return {"image": image, "lesion": lesion.view(1, *SMALL), "brain": brain}


def test_validation_is_balanced_over_the_kinds(monkeypatch):
    """A pair whose lesion is too small to count is passed over: its place stays its kind's."""
    monkeypatch.setattr(validation, "PairGenerator", FakePairs)
    found = list(draw_validation([], [], "T2w", 7))
    indices = (1, 2, 4, 5, 6, 7, 8)
    assert [scan.kind for scan in found] == [VALIDATION_KINDS[i % 7] for i in indices]
    assert [int(scan.lesion.sum()) for scan in found] == [100 * i for i in indices]
    assert all(scan.sequence == "T2w" and not scan.brain_mask[0].any() for scan in found)
    assert found[2].image[3, 4, 5] == pytest.approx(0.04)
    config = FakePairs.config
    assert config.kinds == VALIDATION_KINDS and config.lesions
    assert config.sequence_shares == (0, 1, 0, 0) and config.patch == TEMPLATE_SHAPE


def test_kinds_may_be_told(monkeypatch):
    monkeypatch.setattr(validation, "PairGenerator", FakePairs)
    found = list(draw_validation([], [], "T2w", 2, kinds=("hole",)))
    assert [scan.kind for scan in found] == ["hole", "hole"]
    assert FakePairs.config.kinds == ("hole",) and FakePairs.config.lesions


def test_healthy_validation_has_no_kind(monkeypatch):
    monkeypatch.setattr(validation, "PairGenerator", FakePairs)
    found = list(draw_validation([], [], "FLAIR", 2, kinds=HEALTHY))
    assert [scan.kind for scan in found] == ["", ""]
    assert [scan.image[0, 0, 0] for scan in found] == pytest.approx([0.0, 0.01])
    assert not FakePairs.config.lesions and FakePairs.config.sequence_shares == (0, 0, 1, 0)


class FakeModel(torch.nn.Module):
    """White matter of half the brightness by edges, of a quarter by the tissue map."""

    def __init__(self) -> None:
        super().__init__()
        self.somewhere = torch.nn.Parameter(torch.zeros(1))
        self.calls: list[object] = []

    def extract(self, image: torch.Tensor) -> Extracted:
        tissue = torch.zeros(1, 4, *image.shape[2:])
        tissue[:, 3] = 1
        self.calls.append("extract")
        return Extracted(torch.zeros(1), image, tissue, 0 * image, torch.zeros(1, 16))

    def restore(self, seen: Extracted, mask: torch.Tensor, route: str, combine: bool) -> Rebuilt:
        self.calls.append((route, combine))
        code = torch.zeros(1, 8, *mask.shape[2:])
        code[:, 3] = 1
        phi = (0.5 if route == "edges" else 0.25) * seen.anatomical_image * mask
        return Rebuilt(*seen[1:4], code, seen.modality_code, phi if combine else 0 * phi)


@pytest.fixture(name="even")
def fixture_even(scan: ValidationScan) -> ValidationScan:
    """The scan on a grid whose sides are multiples of 8, as the fit wants it."""
    image = np.ascontiguousarray(scan.image[:16, :16])
    return replace(scan, image=image, brain_mask=image >= 0, lesion=image > 0.99)


def test_the_networks_run_once_for_all_that_is_wanted(even: ValidationScan):
    model = FakeModel()
    wanted = [("both", "learned"), ("edges", "learned"), ("tissue_map", "fitted")]
    both, edges, fitted = rebuild_scan(model, even, wanted)
    assert model.calls == ["extract", ("edges", True), ("tissue_map", True)]
    image = torch.from_numpy(even.image)[None, None]
    torch.testing.assert_close(edges.pseudo_healthy, image / 2)
    torch.testing.assert_close(both.pseudo_healthy, image / 2)  # nearer to the scan than a quarter
    torch.testing.assert_close(both.expected[1], image / 4)
    assert [len(found.expected) for found in (both, edges, fitted)] == [2, 1, 1]
    rebuilt = model.restore(model.extract(image), torch.ones_like(image), "tissue_map", True)
    expected = put_contrast_back(image, rebuilt, torch.ones_like(image), "fitted")
    torch.testing.assert_close(fitted.pseudo_healthy, expected)
    assert fitted.pseudo_healthy.mean() == pytest.approx(0.5, abs=0.1)  # the median of the scan


def test_the_combiner_rests_where_only_the_fit_is_wanted(even: ValidationScan):
    model = FakeModel()
    rebuild_scan(model, even, [("both", "fitted")])
    assert model.calls == ["extract", ("edges", False), ("tissue_map", False)]


def test_refine_asks_the_scorer_of_the_weights(monkeypatch):
    card = WeightsCard("fake", "2026-01-02", "ab" * 32, "p", {})
    with pytest.raises(WeightsError, match="no refined score"):
        load_refine(FakeModel(), card, "somewhere")
    scorer, model, asked = LesionScorer(), FakeModel(), []
    model.context = torch.nn.Identity()
    monkeypatch.setattr(validation, "load_scorer", lambda *given: asked.append(given) or scorer)
    monkeypatch.setattr(validation, "lesion_logit", lambda *given: given)
    refine = load_refine(model, card, "somewhere")
    assert refine("rebuilt", "T2w") == (scorer, model.context, "rebuilt", "T2w", (1.0, 0.0))
    assert asked == [(card, "somewhere")]
