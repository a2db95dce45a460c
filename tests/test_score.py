"""How a prepared image is rebuilt and scored: by hand, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from anatomaly import networks as running_networks
from anatomaly.anomaly.ssim import ssim_map
from anatomaly.errors import ConfigError, WeightsError
from anatomaly.method import PAPER, PAPER_NO_EDGES, REFINED, usual_method
from anatomaly.model.pseudo_healthy import PatientAnatomy
from anatomaly.networks import Networks, as_tensor
from anatomaly.score import (
    RebuiltScan,
    join_routes,
    lesion_logit,
    put_contrast_back,
    rebuild,
    score_methods,
    score_prepared,
    scorer_evidence,
)
from anatomaly.volume import PreparedImage
from anatomaly.weights_card import WeightsCard

SHAPE = (16, 24, 16)
CARD = WeightsCard("fake", "2026-01-02", "ab" * 32, "p", {})


class FakeModel(torch.nn.Module):
    """White matter everywhere but in the first slab; remembers what it was asked for.

    The image is half as bright by edges, a quarter by the tissue map.
    """

    def __init__(self):
        super().__init__()
        self.somewhere = torch.nn.Parameter(torch.zeros(1))
        self.anatomy_restorers = {"oriented": None, "canny": None}
        self.edges = "oriented"
        self.calls, self.autocast = [], []

    def _note(self, call):
        self.calls.append(call)
        self.autocast.append(torch.is_autocast_enabled("cpu") and not torch.is_grad_enabled())

    def context(self):
        return "context"

    def extract(self, image):
        self._note("extract")
        self.image = image
        tissue = torch.zeros(1, 4, *image.shape[2:])
        tissue[:, 3] = 1
        tissue[:, :, 0] = torch.tensor([0.0, 1, 0, 0]).view(1, 4, 1, 1)
        edges = torch.zeros(1, 1, *image.shape[2:])
        edges[..., 1] = 1
        return PatientAnatomy(torch.zeros(1), image, tissue, edges)

    def restore(self, anatomy, route):
        self._note(route)
        code = torch.zeros(1, 8, *anatomy.tissue_map.shape[2:])
        code[:, 3] = 1 if route == "edges" else 0.5
        return code

    def modality_extractor(self, image, tissue_map):
        self._note("modality")
        return torch.zeros(1, 16)

    def combine(self, anatomical_code, modality_code, mask):
        self._note("combine")
        return 0.5 * anatomical_code[:, 3:4] * self.image * mask


def rebuilt_by(image, mask, *methods):
    model = FakeModel()
    scans = rebuild(model, as_tensor(image), as_tensor(mask), methods)
    return model, [scans[method.route, method.reuse] for method in methods]


def run():
    image = np.random.default_rng(0).random(SHAPE[::-1]).astype(np.float64).T  # not contiguous
    mask = np.zeros(SHAPE, bool)
    mask[:, 2:6] = True
    return image, mask, *rebuilt_by(image, mask, PAPER)


def test_rebuilt_scan():
    image, mask, model, (scan,) = run()
    assert scan.image.shape == scan.pseudo_healthy.shape == (1, 1, *SHAPE)
    np.testing.assert_array_equal(model.image[0, 0].numpy(), image.astype(np.float32))
    np.testing.assert_allclose(scan.pseudo_healthy[0, 0].numpy(), 0.5 * image * mask, rtol=1e-6)


def test_what_methods_share_is_computed_once():
    image = np.ascontiguousarray(np.random.default_rng(1).random(SHAPE), np.float32)
    mask = np.ones(SHAPE, bool)
    both = replace(PAPER, route="both")
    fitted = replace(PAPER_NO_EDGES, reuse="fitted")
    model, scans = rebuilt_by(image, mask, both, PAPER, fitted)
    assert model.calls == ["extract", "edges", "tissue_map", "modality", "combine", "combine"]
    half = torch.from_numpy(image)[None, None] / 2
    torch.testing.assert_close(scans[1].pseudo_healthy, half)
    torch.testing.assert_close(scans[0].pseudo_healthy, half)  # nearer to the scan than a quarter
    torch.testing.assert_close(scans[0].expected[1], half / 2)
    assert [len(scan.expected) for scan in scans] == [2, 1, 1]
    code = model.restore(model.extract(2 * half), "tissue_map")
    expected = put_contrast_back(2 * half, code, None, torch.ones_like(half), "fitted")
    torch.testing.assert_close(scans[2].pseudo_healthy, expected)
    assert scans[2].pseudo_healthy.mean() == pytest.approx(0.5, abs=0.1)  # median of the scan


def test_what_a_method_does_not_read_is_not_run():
    """The default fits the contrast: no modality code, no combiner."""
    image, mask = np.full(SHAPE, 0.5), np.ones(SHAPE, bool)
    assert rebuilt_by(image, mask, REFINED)[0].calls == ["extract", "edges", "tissue_map"]
    paper = rebuilt_by(image, mask, PAPER)[0].calls
    assert paper == ["extract", "edges", "modality", "combine"]
    assert rebuilt_by(image, mask, PAPER_NO_EDGES)[0].calls[1] == "tissue_map"


@pytest.mark.parametrize("half", [torch.bfloat16, None])
def test_every_network_runs_in_the_precision_of_the_processor(monkeypatch, half):
    monkeypatch.setattr(running_networks, "half_precision", lambda _: half)
    image, mask = np.full(SHAPE, 0.5), np.ones(SHAPE, bool)
    model, _ = rebuilt_by(image, mask, replace(PAPER, route="both"))
    assert model.calls == ["extract", "edges", "tissue_map", "modality", "combine", "combine"]
    assert model.autocast == [half is not None] * 6


def test_a_learned_contrast_without_its_image_is_refused():
    x = torch.ones(1, 1, *SHAPE)
    with pytest.raises(ValueError, match="adjusted needs the image"):
        put_contrast_back(x, torch.zeros(1, 8, *SHAPE), None, x, "adjusted")


def test_tissues_are_numbered_and_kept_inside_the_brain():
    _, mask, _, (found,) = run()
    expected = np.where(mask, 3, 0)
    expected[0][mask[0]] = 1
    assert found.tissue_map.dtype == np.uint8
    np.testing.assert_array_equal(found.tissue_map, expected)
    assert found.edges.dtype == bool
    assert found.edges[..., 1].all() and found.edges.sum() == SHAPE[0] * SHAPE[1]


@pytest.mark.parametrize("reuse", ["adjusted", "fitted"])
def test_the_contrast_may_be_fitted_to_the_scan(reuse):
    """White matter of .8, which the combiner made half as bright."""
    mask = np.ones(SHAPE, bool)
    image = np.full(SHAPE, 0.8)
    image[2:5, 2:5, 2:5] = 0.1
    model, (scan,) = rebuilt_by(image, mask, replace(PAPER, reuse=reuse))
    found = scan.pseudo_healthy[0, 0].numpy()
    assert ("combine" in model.calls) == (reuse == "adjusted")  # the fit alone needs no combiner
    assert np.median(found) == pytest.approx(0.8, abs=0.02)
    if reuse == "fitted":
        assert found.min() > 0.75  # the dark spot has no say


def test_with_both_routes_only_what_neither_explains_is_left():
    """Routes expect .5 and .25 of the image; 1 is beyond both, and the nearer one is .5."""
    image = np.ones(SHAPE)
    _, (found,) = rebuilt_by(image, np.ones(SHAPE, bool), replace(PAPER, route="both"))
    np.testing.assert_allclose(found.pseudo_healthy.numpy(), 0.5)
    assert [float(each.mean()) for each in found.expected] == [0.5, 0.25]
    scan = torch.tensor([0.1, 0.3, 0.9])
    expected = [torch.tensor([0.2, 0.2, 0.5]), torch.tensor([0.4, 0.4, 0.2])]
    np.testing.assert_allclose(join_routes(scan, expected).numpy(), [0.2, 0.3, 0.5])
    np.testing.assert_allclose(join_routes(scan, expected[:1]).numpy(), [0.2, 0.2, 0.5])


def rebuilt_by_both_routes():
    """A scan of .5 with a bright half, expected .5 from edges and .25 from tissue; empty slabs."""
    image = torch.full((1, 1, *SHAPE), 0.5)
    image[..., 12:, :] = 0.9
    image[..., :4] = 0
    brain = (image > 0).float()
    tissue = (3 * brain[0, 0]).to(torch.uint8).numpy()
    expected = (0.5 * brain, 0.25 * brain)
    return RebuiltScan(image, expected[0], tissue, tissue > 3, expected)


class FakeScorer(torch.nn.Module):
    """The logit is ten times the residual against the edges; remembers what it was given."""

    def forward(self, evidence, context, sequence):
        self.evidence, self.context, self.sequence = evidence, context, sequence
        self.autocast = torch.is_autocast_enabled("cpu")
        self.gradient = torch.is_grad_enabled()
        return 10 * evidence[:, 2:3]


@pytest.mark.parametrize(("sequence", "number"), [("T1w", 0), ("FLAIR", 2)])
def test_probability_of_a_lesion_by_hand(sequence, number):
    rebuilt, scorer = rebuilt_by_both_routes(), FakeScorer()
    logit = lesion_logit(Networks(FakeModel(), CARD, scorer), rebuilt, sequence)
    gap = np.zeros(SHAPE)
    if sequence == "FLAIR":  # brighter than both expectations counts; in T1w only darker does
        gap[:, 12:, 4:] = 0.4
    blurred = ndimage.gaussian_filter(gap, 1.0, mode="nearest", radius=4)
    network = 10 * (rebuilt.image - rebuilt.expected[0])[0, 0].numpy()
    for slope, given in ((12.5, ()), (7, (7,))):
        found = logit.probability(*given)
        assert found.shape == (1, 1, *SHAPE)
        assert not found[..., :4].any()  # outside the brain, where the logit is 0
        inside = 1 / (1 + np.exp(-(network + slope * blurred)[..., 4:]))
        np.testing.assert_allclose(found[0, 0, ..., 4:], inside, atol=1e-5)
    assert scorer.sequence.tolist() == [number] and scorer.context == "context"
    assert not scorer.gradient


@pytest.mark.parametrize("half", [torch.bfloat16, None])
def test_the_scorer_runs_in_the_precision_of_the_processor(monkeypatch, half):
    monkeypatch.setattr(running_networks, "half_precision", lambda _: half)
    scorer = FakeScorer()
    lesion_logit(Networks(FakeModel(), CARD, scorer), rebuilt_by_both_routes(), "T2w")
    assert scorer.autocast == (half is not None)


def test_evidence_of_a_rebuilt_scan_is_in_the_order_of_its_routes():
    """Edges, which `REFINED` names first, give the first gap and the structural difference."""
    assert REFINED.routes == ("edges", "tissue_map")
    rebuilt, scorer = rebuilt_by_both_routes(), FakeScorer()
    lesion_logit(Networks(FakeModel(), CARD, scorer), rebuilt, "T2w")
    image, (edges, tissue) = rebuilt.image, rebuilt.expected
    torch.testing.assert_close(scorer.evidence[:, 2:3], image - edges)
    torch.testing.assert_close(scorer.evidence[:, 3:4], image - tissue)
    difference = (image - image.flip(2))[0, 0]  # to the other hemisphere
    blurred = ndimage.gaussian_filter(difference, 2.0, mode="nearest", radius=5)
    np.testing.assert_allclose(scorer.evidence[0, 4], blurred, atol=1e-5)
    structure = (1 - ssim_map(image, edges, data_range=1.0)).clamp(0, 1)
    torch.testing.assert_close(scorer.evidence[:, 5:6], structure)
    assert structure.max() > 0.3  # the border of the bright half
    classes = torch.from_numpy(rebuilt.tissue_map)[None]
    again = scorer_evidence(image, image.flip(2), edges, tissue, classes)
    torch.testing.assert_close(scorer.evidence, again)


@pytest.fixture(name="prepared")
def fixture_prepared():
    image = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    return PreparedImage(image, np.ones(SHAPE, bool), "T2w")


RESIDUAL = replace(usual_method("residual"), smoothing_mm=0.0, rim_mm=0.0)


def test_scores_of_the_variants(prepared):
    """Edges expect half of the image, so the residual is the other half."""
    networks = Networks(FakeModel(), CARD)
    brighter = score_prepared(networks, prepared, RESIDUAL).anomaly_map
    np.testing.assert_allclose(brighter, prepared.image / 2, atol=1e-6)
    darker = replace(RESIDUAL, polarity="darker")
    assert not score_prepared(networks, prepared, darker).anomaly_map.any()
    t1w = replace(prepared, sequence="T1w")
    assert not score_prepared(networks, t1w, RESIDUAL).anomaly_map.any()
    both = replace(RESIDUAL, polarity="both")
    np.testing.assert_array_equal(score_prepared(networks, t1w, both).anomaly_map, brighter)
    hybrid = score_prepared(networks, prepared, usual_method("hybrid")).anomaly_map
    assert not hybrid[:3].any() and hybrid[8, 12, 8] > 0  # its rim is not scored


def test_the_normalised_score_reads_the_healthy_people_of_sequence_and_sign(prepared):
    cells = {"T2w.brighter": 0.02, "T2w.darker": 0.04}
    maps = {n: np.full([side // 4 for side in SHAPE], v, np.float32) for n, v in cells.items()}
    networks = Networks(FakeModel(), CARD, None, maps)
    plain = score_prepared(networks, prepared, RESIDUAL).anomaly_map
    for polarity, share in (("auto", 0.5), ("both", 0.25)):
        method = replace(RESIDUAL, score="normalised", polarity=polarity)
        weighed = score_prepared(networks, prepared, method).anomaly_map
        np.testing.assert_allclose(weighed, share * plain, atol=1e-6)


def test_the_refined_score_is_asked_for_once(prepared):
    scorer = FakeScorer()
    networks = Networks(FakeModel(), CARD, scorer)
    asked = []
    scorer.register_forward_hook(lambda *_: asked.append(1))
    wider = replace(REFINED, smoothing_mm=2.0)
    heavier = replace(REFINED, gap_weight=50.0)
    one, wide, heavy = (
        s.anomaly_map for s in score_methods(networks, prepared, [REFINED, wider, heavier])
    )
    assert asked == [1]
    assert one.std() > 1.5 * wide.std()
    assert heavy.mean() > one.mean() > 0
    np.testing.assert_array_equal(one, score_prepared(networks, prepared, REFINED).anomaly_map)


def test_what_was_not_loaded_is_refused_not_replaced(prepared):
    networks = Networks(FakeModel(), CARD)
    with pytest.raises(WeightsError, match="refined score is not loaded"):
        score_prepared(networks, prepared, REFINED)
    with pytest.raises(WeightsError, match="healthy people score is not loaded"):
        score_prepared(networks, prepared, usual_method("normalised"))
    other = Networks(FakeModel(), CARD, FakeScorer())
    other.model.edges = "canny"
    with pytest.raises(ConfigError, match="not trained on canny edges"):
        score_prepared(other, prepared, REFINED)


def test_the_stages_are_timed_in_their_order(prepared):
    from contextlib import contextmanager

    stages = []

    @contextmanager
    def stage(name):
        stages.append(name)
        yield

    score_prepared(Networks(FakeModel(), CARD), prepared, PAPER, stage)
    assert stages == ["rebuild", "score"]
