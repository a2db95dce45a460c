"""How networks run: device, threads, precision, and what a rebuilt scan is."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from anatomaly import engine
from anatomaly.anomaly.ssim import ssim_map
from anatomaly.engine import (
    REFINED,
    RebuiltScan,
    choose_device,
    half_precision,
    join_routes,
    lesion_logit,
    limit_threads,
    rebuild,
    scorer_evidence,
)
from anatomaly.errors import ConfigError
from anatomaly.model.pseudo_healthy import Extracted, Rebuilt

SHAPE = (16, 24, 16)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_fastest(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == expected
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"{wanted} is not available"):
        choose_device(wanted)


def test_threads_are_put_back_also_after_an_error():
    before = torch.get_num_threads()
    with limit_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), limit_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before
    with limit_threads(0):
        assert torch.get_num_threads() == before


@pytest.mark.parametrize(("has", "expected"), [(True, torch.bfloat16), (False, None)])
def test_half_precision_only_where_the_processor_has_it(monkeypatch, has, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    assert half_precision(CPU) is expected
    assert half_precision(torch.device("mps")) is None


class FakeModel:
    """White matter everywhere but in the first slab; remembers what it saw."""

    def extract(self, image):
        self.image = image
        self.autocast = torch.is_autocast_enabled("cpu")
        self.gradient = torch.is_grad_enabled()
        tissue = torch.zeros(1, 4, *SHAPE)
        tissue[:, 3] = 1
        tissue[:, :, 0] = torch.tensor([0.0, 1, 0, 0]).view(1, 4, 1, 1)
        edges = torch.zeros(1, 1, *SHAPE)
        edges[..., 1] = 1
        return Extracted(torch.zeros(1), image, tissue, edges, torch.zeros(1, 16))

    def restore(self, seen, brain_mask, route, combine=True):
        self.mask, self.combine = brain_mask, combine
        code = torch.zeros(1, 8, *SHAPE)
        code[:, 3] = 1
        share = 0.5 if route == "edges" else 0.25
        phi = share * seen.anatomical_image * brain_mask
        return Rebuilt(*seen[1:4], code, seen.modality_code, phi)


def run():
    image = np.random.default_rng(0).random(SHAPE[::-1]).astype(np.float64).T  # not contiguous
    mask = np.zeros(SHAPE, bool)
    mask[:, 2:6] = True
    model = FakeModel()
    return image, mask, model, rebuild(model, image, mask, CPU)


def test_rebuilt_scan():
    image, mask, model, found = run()
    assert found.image.shape == found.pseudo_healthy.shape == (1, 1, *SHAPE)
    np.testing.assert_array_equal(model.image[0, 0].numpy(), image.astype(np.float32))
    np.testing.assert_array_equal(model.mask[0, 0].numpy(), mask)
    np.testing.assert_allclose(found.pseudo_healthy[0, 0].numpy(), 0.5 * image * mask, rtol=1e-6)
    assert not model.gradient


def test_tissues_are_numbered_and_kept_inside_the_brain():
    _, mask, _, found = run()
    expected = np.where(mask, 3, 0)
    expected[0][mask[0]] = 1
    assert found.tissue_map.dtype == np.uint8
    np.testing.assert_array_equal(found.tissue_map, expected)
    assert found.edges.dtype == bool
    assert found.edges[..., 1].all() and found.edges.sum() == SHAPE[0] * SHAPE[1]


@pytest.mark.parametrize("reuse", ["refined", "fitted"])
def test_the_contrast_may_be_fitted_to_the_scan(reuse):
    """White matter of .8, which the combiner made half as bright."""
    mask = np.ones(SHAPE, bool)
    image = np.full(SHAPE, 0.8)
    image[2:5, 2:5, 2:5] = 0.1
    model = FakeModel()
    found = rebuild(model, image, mask, CPU, reuse=reuse).pseudo_healthy[0, 0].numpy()
    assert model.combine == (reuse == "refined")  # the fit alone needs no combiner
    assert np.median(found) == pytest.approx(0.8, abs=0.02)
    if reuse == "fitted":
        assert found.min() > 0.75  # the dark spot has no say


@pytest.mark.parametrize("half", [torch.bfloat16, None])
def test_autocast_follows_the_processor(monkeypatch, half):
    monkeypatch.setattr(engine, "half_precision", lambda _: half)
    assert run()[2].autocast == (half is not None)


def test_with_both_routes_only_what_neither_explains_is_left():
    """Routes expect .5 and .25 of the image; 1 is beyond both, and the nearer one is .5."""
    image = np.ones(SHAPE)
    found = rebuild(FakeModel(), image, np.ones(SHAPE, bool), CPU, "both")
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


class FakeScorer:
    """The logit is ten times the residual against the edges; remembers what it was given."""

    def __call__(self, evidence, context, sequence):
        self.evidence, self.context, self.sequence = evidence, context, sequence
        self.autocast = torch.is_autocast_enabled("cpu")
        self.gradient = torch.is_grad_enabled()
        return 10 * evidence[:, 2:3]


@pytest.mark.parametrize(("sequence", "number"), [("T1w", 0), ("FLAIR", 2)])
def test_probability_of_a_lesion_by_hand(sequence, number):
    rebuilt, scorer = rebuilt_by_both_routes(), FakeScorer()
    logit = lesion_logit(scorer, lambda: "context", rebuilt, sequence)
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
    monkeypatch.setattr(engine, "half_precision", lambda _: half)
    scorer = FakeScorer()
    lesion_logit(scorer, lambda: None, rebuilt_by_both_routes(), "T2w")
    assert scorer.autocast == (half is not None)


def test_evidence_of_a_rebuilt_scan_is_in_the_order_of_its_routes():
    """Edges, which `REFINED` names first, give the first gap and the structural difference."""
    assert engine.ROUTES_OF[REFINED[0]] == ("edges", "tissue_map")
    rebuilt, scorer = rebuilt_by_both_routes(), FakeScorer()
    lesion_logit(scorer, lambda: None, rebuilt, "T2w")
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
