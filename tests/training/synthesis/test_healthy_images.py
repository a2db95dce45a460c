"""Pairs of real images: members are what they say they are, and lesions go in as always."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from anatomaly.training.cohort import Subject
from anatomaly.training.synthesis import contrast as c
from anatomaly.training.synthesis.generator import GeneratorConfig, RealPairGenerator
from anatomaly.training.synthesis.healthy_images import RealContrast, recolouring

GREY = {
    "T1w": np.array([0, 30, 32, 110, 110, 115, 140, 110, 112, 170, 170, 160, 150, 45, 20]),
    "T2w": np.array([0, 180, 175, 100, 100, 95, 80, 100, 100, 60, 60, 65, 70, 150, 20]),
}


def real_image(labels, sequence, seed=0):
    noise = np.random.default_rng(seed).normal(0, 2, labels.shape)
    return np.clip(GREY[sequence][labels] + noise, 0, 255).astype(np.uint8)


@pytest.fixture(name="paired", scope="module")
def fixture_paired(labels):
    labels = np.where(labels == 14, 0, labels).astype(np.uint8)  # a prepared scan has no rim
    return Subject("p", labels, real_image(labels, "T1w"), {"T2w": real_image(labels, "T2w", 1)})


@pytest.fixture(name="single", scope="module")
def fixture_single(paired):
    return replace(paired, image=None)


def generator(people, shapes=(), **options):
    settings = GeneratorConfig(patch=(48, 48, 48), seed=5, real_share=1.0)
    pairs = RealPairGenerator(people, list(shapes), replace(settings, **options))
    pairs._draw_start = lambda rng, _: (56, 72, 56)  # ventricle, white matter and striatum
    return pairs


def inside(pairs, count):
    return [pairs[i] for i in range(count)]


def correlation(first, second):
    return np.corrcoef(first.flatten().numpy(), second.flatten().numpy())[0, 1]


def test_a_sample_depends_on_its_index_alone(paired, shapes):
    first, second = generator([paired], shapes), generator([paired], shapes)
    second[7]
    for a, b in zip(first[3].values(), second[3].values(), strict=True):
        assert torch.equal(a, b)


def test_both_real_sequences_are_paired_most_of_the_time(paired):
    pairs = generator([paired], lesions=False)
    drawn = [
        pairs.images.draw_contrasts(torch.Generator().manual_seed(s), paired) for s in range(100)
    ]
    assert all(isinstance(first, RealContrast) for first, _ in drawn)
    both = [d for d in drawn if isinstance(d[1], RealContrast)]
    assert 66 < len(both) < 92
    assert all({m.sequence for m in d} == {"T1w", "T2w"} for d in both)
    assert {d[0].sequence for d in drawn} == {"T1w", "T2w"}


def test_a_real_pair_shows_the_two_scans(paired):
    """CSF is dark in one and bright in the other, at the same places."""
    pairs = generator([paired], lesions=False)
    seen = 0
    for pair in inside(pairs, 12):
        if sorted(pair["sequence"].tolist()) != [0, 1]:
            continue
        images = dict(zip(pair["sequence"].tolist(), pair["healthy"][:, 0], strict=True))
        white, grey = (pair["tissue"] == k for k in (3, 2))
        if white.sum() > 500 and grey.sum() > 500:
            assert images[0][white].median() > images[0][grey].median() + 0.1
            assert images[1][white].median() < images[1][grey].median() - 0.05
            seen += 1
    assert seen >= 3


def test_the_partner_of_a_single_sequence_is_recoloured_not_redrawn(single, monkeypatch):
    monkeypatch.setattr(c, "render_classes", None)  # would be drawn from the labels
    pairs = generator([single], lesions=False, sequence_shares=(1.0, 0.0, 0.0, 0.0))
    for pair in inside(pairs, 4):
        assert pair["sequence"].tolist() == [1, 0]
        t2w, t1w = pair["healthy"][:, 0]
        white, grey = (pair["tissue"] == k for k in (3, 2))
        if min(white.sum(), grey.sum()) > 500:
            assert t2w[white].median() < t2w[grey].median()
            assert t1w[white].median() > t1w[grey].median()
        assert correlation(t1w[white], t2w[white]) < -0.2  # the same noise, turned round


def test_lesions_are_pasted_into_the_image_and_not_into_the_target(paired, shapes):
    pairs = generator([paired], shapes, kinds=("tumour",))
    changed = 0
    for pair in inside(pairs, 6):
        lesion = pair["lesion"][0] > 0.5
        outside = (pair["lesion"][0] == 0) & (pair["brain"][0] > 0)
        if lesion.sum() > 300:
            difference = (pair["image"] - pair["healthy"]).abs()[:, 0]
            changed += difference[:, lesion].mean() > 2 * difference[:, outside].mean()
    assert changed >= 2


def test_contrast_of_a_real_image_is_its_class_medians(paired):
    found = generator([paired]).images.measure(paired, "T2w")
    assert found.sequence == "T2w"
    assert found.means[3].item() == pytest.approx(100 / 200, abs=0.01)
    assert found.means[9].item() == pytest.approx(60 / 200, abs=0.01)
    assert found.means[5].item() == pytest.approx(100 / 200, abs=0.03)  # none: as grey matter
    assert found.means[0] == 0


def test_recolouring_goes_through_the_landmarks_in_any_order():
    contrast = c.draw_contrast(torch.Generator().manual_seed(0), "T1w")
    csf, grey, white = 180.0, 100.0, 60.0
    curve = recolouring(torch.Generator(), torch.tensor([csf, grey, white]), contrast)
    for value, index in ((csf, c.CSF), (grey, c.CORTEX), (white, c.WHITE)):
        assert curve[int(value)].item() == pytest.approx(contrast.means[index].item(), abs=1e-5)
    assert recolouring(torch.Generator(), torch.tensor([180.0, 100.0, 97.0]), contrast) is None
