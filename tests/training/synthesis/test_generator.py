"""Pairs: a function of the index, in range, of one anatomy, with lesions where they say."""

import dataclasses

import numpy as np
import pytest
import torch

from anatomaly.training.synthesis import contrast, generator
from anatomaly.training.synthesis.contrast import Acquisition
from anatomaly.training.synthesis.generator import GeneratorConfig, PairGenerator
from anatomaly.training.synthesis.lesions import Lesion, Push
from anatomaly.training.synthesis.volumes import Volumes

PATCH = (48, 32, 48)
CONFIG = GeneratorConfig(patch=PATCH, seed=5)


@pytest.fixture(name="pairs", scope="module")
def fixture_pairs(drawn, scanned, shapes):
    return PairGenerator([drawn, scanned], shapes, CONFIG)


@pytest.fixture(name="samples", scope="module")
def fixture_samples(pairs):
    return [pairs[i] for i in range(12)]


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


def test_the_same_index_gives_the_same_pair_in_any_order(pairs, samples):
    for index in (7, 0, 3):
        assert same(pairs[index], samples[index])


def test_another_index_or_seed_gives_another_pair(drawn, shapes, samples):
    assert not any(same(samples[0], other) for other in samples[1:])
    other = PairGenerator([drawn], shapes, dataclasses.replace(CONFIG, seed=6))
    assert not same(other[0], samples[0])


def test_shapes_and_ranges(samples):
    for pair in samples:
        assert pair["image"].shape == pair["healthy"].shape == (2, 1, *PATCH)
        assert pair["tissue"].shape == PATCH and pair["tissue"].dtype == torch.int64
        assert pair["brain"].shape == pair["lesion"].shape == (1, *PATCH)
        assert set(pair["brain"].unique().tolist()) <= {0.0, 1.0}
        assert pair["tissue"].min() >= 0 and pair["tissue"].max() <= 3
        for key in ("image", "healthy", "lesion"):
            assert torch.isfinite(pair[key]).all()
            assert pair[key].min() >= 0 and pair[key].max() <= 1
            assert (pair[key] * (1 - pair["brain"])).abs().max() == 0
        assert (pair["tissue"][pair["brain"][0] == 0] == 0).all()
        assert (pair["start"] % 2 == 0).all()
    assert sum(pair["brain"].mean() > 0.2 for pair in samples) >= 6


def test_tissue_means_are_about_those_of_the_image(scanned, drawn, shapes):
    config = dataclasses.replace(CONFIG, lesions=False, patch=(96, 96, 96))
    errors = []
    for index in range(8):
        pair = PairGenerator([drawn, scanned], shapes, config)[index]
        assert pair["tissue_means"].shape == (2, 3)
        for image, means in zip(pair["healthy"][:, 0], pair["tissue_means"], strict=True):
            for tissue in (1, 2, 3):
                voxels = image[pair["tissue"] == tissue]
                if len(voxels) > 5000:
                    errors.append(float(means[tissue - 1] - voxels.median()))
    assert len(errors) > 20
    assert np.median(np.abs(errors)) < 0.08
    assert np.std(errors) > 0.02  # the estimate is made as uncertain as in use


def test_patches_lie_in_the_template(samples):
    for pair in samples:
        for first, size, n in zip(pair["start"].tolist(), PATCH, (160, 192, 160), strict=True):
            assert 0 <= first <= n - size


def test_the_two_contrasts_show_one_anatomy(drawn, shapes):
    config = dataclasses.replace(CONFIG, sequence_shares=(1.0, 0, 0, 0), patch=(48, 48, 48))
    pairs = PairGenerator([drawn], shapes, config)
    found = []
    for index in range(30):
        pair = pairs[index]
        brain = pair["brain"][0] > 0
        assert (pair["sequence"] == 0).all()
        if brain.float().mean() > 0.5 and len(pair["tissue"][brain].unique()) == 3:
            a, b = pair["healthy"][:, 0][:, brain].numpy()
            found.append(np.corrcoef(a, b)[0, 1])
    assert len(found) >= 3
    assert min(found) > 0.8  # two T1w-like images of one brain


def test_t1w_pairs_order_the_tissues(samples, scanned, shapes):
    config = dataclasses.replace(CONFIG, sequence_shares=(1.0, 0, 0, 0), lesions=False)
    checked = 0
    for index in range(25):
        pair = PairGenerator([scanned], shapes, config)[index]
        image, tissue = pair["healthy"][0, 0], pair["tissue"]
        if all((tissue == t).sum() > 500 for t in (1, 2, 3)):
            csf, grey, white = (image[tissue == t].median() for t in (1, 2, 3))
            assert csf < grey < white
            checked += 1
    assert checked >= 2


@pytest.fixture(name="without_noise")
def fixture_without_noise(monkeypatch):
    plain = Acquisition(thick_axis=-1, thickness=1, blur=(0.0, 0.0, 0.0), noise=0.0, bias=0.0)
    monkeypatch.setattr(contrast, "draw_acquisition", lambda rng: plain)


@pytest.mark.usefixtures("without_noise")
def test_a_lesion_changes_the_image_only_where_it_is(pairs):
    changed = 0
    for index in range(12):
        pair = pairs[index]
        # 1e-6: the joint share 1 − Π(1 − α) rounds what is below 6e-8 to nothing, painting does not
        where = (pair["image"] - pair["healthy"]).abs() > 1e-6
        lesion = (pair["lesion"] > 0)[None].expand_as(where)
        assert not (where & ~lesion).any()
        changed += bool(where.any())
    assert changed >= 4


def test_a_large_bright_lesion_sets_the_scale(drawn, shapes, monkeypatch):
    """The same scan with a lesion three times as bright as anything: healthy tissue gets darker."""
    config = dataclasses.replace(CONFIG, patch=(96, 96, 96))
    alpha = torch.zeros(96, 96, 96)
    alpha[20:70, 20:70, 20:70] = 1
    lesion = Lesion(alpha, torch.zeros_like(alpha), "tumour")
    monkeypatch.setattr(generator, "draw_lesion", lambda *_: lesion)

    def healthy(value):
        monkeypatch.setattr(
            generator,
            "paint_lesion",
            lambda rng, image, found, contrast: torch.where(found.alpha > 0, value, image),
        )
        return PairGenerator([drawn], shapes, config)[3]["healthy"][0]

    bright, like_tissue = healthy(3.0), healthy(0.5)
    inside = like_tissue > 0.05
    assert bright[inside].mean() < 0.6 * like_tissue[inside].mean()


@pytest.mark.usefixtures("without_noise")
def test_without_lesions_the_image_is_the_healthy_one(drawn, scanned, shapes):
    config = dataclasses.replace(CONFIG, lesions=False)
    pairs = PairGenerator([drawn, scanned], shapes, config)
    for index in range(6):
        pair = pairs[index]
        assert torch.equal(pair["image"], pair["healthy"])
        assert not pair["lesion"].any()


def test_sequences_come_in_their_shares(pairs):
    rng = torch.Generator().manual_seed(0)
    drawn = [pairs.images.draw_contrast(rng).sequence for _ in range(2000)]
    for name, share in zip(contrast.CONTRASTS, CONFIG.sequence_shares, strict=True):
        assert drawn.count(name) / 2000 == pytest.approx(share, abs=0.04)


def test_scale_is_that_of_the_preparation():
    from anatomaly.preprocess.normalise import normalise_intensity
    from anatomaly.volume import Volume

    image = np.random.default_rng(0).gamma(3, 90, (14, 15, 16)).astype(np.float32)
    brain = np.zeros(image.shape, bool)
    brain[2:-2, 2:-2, 3:-3] = True
    expected, _ = normalise_intensity(Volume(image, np.eye(4)), Volume(brain, np.eye(4)))
    low, high = generator._percentiles(torch.tensor(image[brain]))
    found = generator._scale(torch.tensor(image), (low, high - low), torch.tensor(brain))
    np.testing.assert_allclose(found.numpy(), expected.data, atol=1e-4)


def test_percentiles_of_one_value_stay_apart():
    low, high = generator._percentiles(torch.full((100,), 0.4))
    assert high - low == pytest.approx(0.05)


def test_a_crop_is_read_like_the_whole():
    from anatomaly.training.synthesis.deform import read_linear

    volume = np.random.default_rng(2).integers(0, 255, (30, 32, 34)).astype(np.uint8)
    places = 20 * torch.rand(3, 5, 6, 7) + torch.tensor([-4.0, 6.0, 12.0]).view(3, 1, 1, 1)
    whole = read_linear(torch.tensor(volume).float(), places)
    crop = Volumes(torch.device("cpu")).read_linear(volume, places)
    torch.testing.assert_close(crop, whole, atol=2e-3, rtol=1e-4)


def test_the_share_of_several_lesions_by_hand():
    """.5 and .4 overlap in the middle: 1 − .5 · .6."""
    first, second = torch.zeros(4, 1, 1), torch.zeros(4, 1, 1)
    first[:3], second[2:] = 0.5, 0.4
    lesions = [Lesion(alpha, torch.zeros_like(alpha), "ms") for alpha in (first, second)]
    found = generator._joint_share(lesions, torch.zeros(4, 1, 1))
    assert found.flatten().tolist() == pytest.approx([0.5, 0.5, 0.7, 0.4])
    assert not generator._joint_share([], torch.zeros(4, 1, 1)).any()


def draw_always(monkeypatch, lesion):
    """Draw this lesion whatever is asked for; returns the kinds that were asked for."""
    asked = []

    def draw(rng, shapes, classes, start, kind):
        asked.append(kind)
        return lesion

    monkeypatch.setattr(generator, "draw_lesion", draw)
    return asked


EMPTY = Lesion(torch.zeros(PATCH), torch.zeros(PATCH), "none")


def test_kinds_come_in_turn(drawn, monkeypatch):
    asked = draw_always(monkeypatch, EMPTY)
    kinds = ("ms", "spots", "tumour")
    pairs = PairGenerator([drawn], [], dataclasses.replace(CONFIG, kinds=kinds))
    for index in (0, 1, 2, 3, 7):
        pairs[index]
    assert asked == ["ms", "spots", "tumour", "ms", "spots"]
    asked.clear()
    PairGenerator([drawn], [], CONFIG)[0]
    assert asked == [None]


def test_each_further_lesion_is_there_in_a_third(drawn, monkeypatch):
    asked = draw_always(monkeypatch, EMPTY)
    pairs = PairGenerator([drawn], [], dataclasses.replace(CONFIG, most_lesions=3))
    counts = []
    for seed in range(600):
        asked.clear()
        rng = torch.Generator().manual_seed(seed)
        assert len(pairs._draw_lesions(rng, seed, EMPTY.alpha, (0, 0, 0))) == len(asked)
        counts.append(len(asked))
    shares = np.bincount(counts, minlength=5)[1:] / 600
    # 2/3, 1/3 · 2/3, 1/9; .06 is three standard deviations
    assert shares.tolist() == pytest.approx([2 / 3, 2 / 9, 1 / 9, 0], abs=0.06)


@pytest.mark.usefixtures("without_noise")
def test_a_push_moves_the_anatomy_of_both_images_and_the_truth(drawn, monkeypatch):
    """With mass effect and an invisible lesion: another anatomy, but image and truth agree."""
    config = dataclasses.replace(CONFIG, patch=(48, 48, 48), sequence_shares=(1.0, 0, 0, 0))
    nothing = torch.zeros(48, 48, 48)
    push = Push(torch.tensor([24.0, 24.0, 24.0]), 12.0, 5.0)
    pairs = PairGenerator([drawn], [], config)
    moved = 0
    for index in range(10):
        draw_always(monkeypatch, Lesion(nothing, nothing, "tumour"))
        still = pairs[index]
        draw_always(monkeypatch, Lesion(nothing, nothing, "tumour", push=push))
        pushed = pairs[index]
        changed = pushed["tissue"] != still["tissue"]
        moved += int(changed.sum() > 500)
        # 38 voxels away: 5 · 3.2 · e^(−4.5) = .18 voxels, which the nearest voxel mostly rounds off
        assert changed[:2, :2, :2].float().mean() < 0.5
        assert torch.equal(pushed["image"], pushed["healthy"])
        assert not pushed["lesion"].any()
    assert moved >= 3


@pytest.mark.usefixtures("without_noise")
def test_a_lesion_stays_in_the_tissue_that_a_push_left(drawn, monkeypatch):
    """The lesion is everywhere: what is left of it follows the pushed classes."""
    config = dataclasses.replace(CONFIG, patch=(48, 48, 48))
    whole = torch.ones(48, 48, 48)
    push = Push(torch.tensor([24.0, 24.0, 24.0]), 16.0, 6.0)
    draw_always(monkeypatch, Lesion(whole, 0 * whole, "tumour", push=push))
    checked = 0
    for index in range(6):
        pair = PairGenerator([drawn], [], config)[index]
        brain, lesion = pair["brain"][0] > 0, pair["lesion"][0]
        if not 0.2 < brain.float().mean() < 0.9:
            continue
        checked += 1
        tissue = pair["tissue"] >= 2
        # a lone voxel keeps the middle of a Gaussian of σ .6, .65³
        assert lesion[tissue].min() > 0.2
        assert lesion[tissue].mean() > 0.9
        assert not lesion[~brain].any()
    assert checked >= 1
