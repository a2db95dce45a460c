"""Drawn scans: balanced over the kinds of lesion, and drawn once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from anatomaly.geometry import TEMPLATE_SHAPE
from anatomaly.training import validation
from anatomaly.training.validation import (
    HEALTHY,
    VALIDATION_KINDS,
    ValidationScan,
    cached_validation,
    draw_validation,
)
from anatomaly.volume import PreparedImage


@pytest.fixture(name="scan")
def fixture_scan() -> ValidationScan:
    rng = np.random.default_rng(0)
    image = rng.random((20, 22, 24)).astype(np.float32)
    prepared = PreparedImage(image, np.ones(image.shape, bool), "T2w")
    return ValidationScan(prepared, image > 0.99, "spots")


def test_scans_are_drawn_once(tmp_path: Path, scan: ValidationScan):
    drawn = []

    def draw() -> Iterator[ValidationScan]:
        for _ in range(2):
            drawn.append(1)
            yield scan

    first = list(cached_validation(tmp_path, draw(), "T2w", 2, "lesion"))
    again = list(cached_validation(tmp_path, draw(), "T2w", 2, "lesion"))
    assert len(drawn) == 2
    assert np.allclose(again[1].prepared.image, scan.prepared.image, atol=1e-3)
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
    assert all(scan.prepared.sequence == "T2w" for scan in found)
    assert not any(scan.prepared.brain_mask[0].any() for scan in found)
    assert found[2].prepared.image[3, 4, 5] == pytest.approx(0.04)
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
    assert [scan.prepared.image[0, 0, 0] for scan in found] == pytest.approx([0.0, 0.01])
    assert not FakePairs.config.lesions and FakePairs.config.sequence_shares == (0, 0, 1, 0)
