"""Calibration: maps from some people, thresholds from others, both in what the loader reads."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from anatomaly import networks, score
from anatomaly.errors import TrainingError, WeightsError
from anatomaly.healthy_volume import THRESHOLDS, HealthyVolume
from anatomaly.method import PAPER, REFINED
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.score import RebuiltScan
from anatomaly.training import calibration
from anatomaly.training.calibration import CalibrationConfig, calibrate
from anatomaly.training.cohort import Subject
from anatomaly.training.export import export_weights
from anatomaly.training.validation import HEALTHY, ValidationScan
from anatomaly.types import SEQUENCES
from anatomaly.volume import PreparedImage
from anatomaly.weights import (
    HEALTHY_FILE,
    load_healthy_residual,
    load_weights,
)

SHAPE = (40, 48, 40)


def scan_of(sequence, residual):
    """A brain whose scan is brighter by `residual`, in T1w darker by half of it."""
    phi = np.full(SHAPE, 0.5, np.float32)
    image = phi + (-residual / 2 if sequence == "T1w" else residual)
    mask = np.ones(SHAPE, bool)
    prepared = PreparedImage(image.astype(np.float32), mask, sequence)
    return ValidationScan(prepared, np.zeros(SHAPE, bool))


def rebuild_to_half(model, image, mask, methods):
    """Expect .5 everywhere, whatever the route."""
    phi, tissue = torch.full_like(image, 0.5), np.full(SHAPE, 3, np.uint8)
    scan = RebuiltScan(image, phi, tissue, np.zeros(SHAPE, bool), (phi, phi))
    return {(method.route, method.reuse): scan for method in methods}


@pytest.fixture(name="patched", scope="module")
def fixture_patched():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "rebuild", rebuild_to_half)
        yield patch


@pytest.fixture(name="weights", scope="module")
def fixture_weights(tmp_path_factory, patched):
    folder = tmp_path_factory.mktemp("weights") / "mine"
    thresholds = {"T1w": 0.9, "T2w": 0.9, "FLAIR": 0.9}
    methods = {sequence: {"score": "normalised"} for sequence in thresholds}
    export_weights(PseudoHealthyModel(), folder, thresholds, methods=methods, limits=["small"])

    def draw(people, shapes, sequence, count, *, seed, kinds):
        assert shapes == [] and kinds == HEALTHY
        for _ in range(count):
            yield scan_of(sequence, 0.04 if people[0].name == "person" else 0.4)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "draw_validation", draw)
        patch.setattr(
            calibration,
            "load_cohort",
            lambda p: [Subject("control" if p.name == "c" else "person", None, None)],
        )
        lines = []
        calibrate(CalibrationConfig(folder, (Path("p"),), Path("c"), 3, 2), lines.append)
    assert [line.split(":")[0] for line in lines] == ["T1w", "T2w", "FLAIR"]
    return folder


def test_maps_are_those_of_the_people(weights):
    maps = load_healthy_residual(load_weights(str(weights))[1], str(weights))
    assert len(maps) == 6
    expected = {"T1w.brighter": 0, "T1w.darker": 0.02, "T2w.brighter": 0.04, "FLAIR.darker": 0}
    for key, value in expected.items():
        assert maps[key].shape == (10, 12, 10)
        np.testing.assert_allclose(maps[key], value, atol=1e-3)


def test_thresholds_are_those_of_the_controls_in_the_default_score(weights):
    """Controls are ten times as bright as people: .4 · .02 / (.02 + .04), or .2 · .02 / .04."""
    _, card = load_weights(str(weights))
    assert card.thresholds["T2w"] == pytest.approx(0.4 / 3, abs=0.01)
    assert card.thresholds["FLAIR"] == pytest.approx(0.4 / 3, abs=0.01)
    assert card.thresholds["T1w"] == pytest.approx(0.2 / 2, abs=0.01)
    assert card.limits == ["small"] and card.method_for("T2w").score == "normalised"


def test_what_healthy_brains_show_is_that_of_the_controls(weights):
    """Every voxel of a control scores the same, so all of the scored brain is found, or nothing."""
    _, card = load_weights(str(weights))
    whole_ml = math.prod(side - 6 for side in SHAPE) / 1000  # less 3 mm of rim on each side
    for sequence, level in (("T1w", 0.1), ("T2w", 0.4 / 3), ("FLAIR", 0.4 / 3)):
        curve = HealthyVolume.from_json(card.healthy_ml[sequence])
        assert curve.threshold == THRESHOLDS and curve.half == curve.most
        for threshold, ml in zip(curve.threshold, curve.half, strict=True):
            if abs(threshold - level) > 0.02:
                assert ml == pytest.approx(whole_ml if threshold < level else 0, rel=0.05)


def test_small_pieces_do_not_count():
    """`detect` drops what is smaller than 20 mm³; neighbours across a corner are one piece."""
    healthy = np.zeros(SHAPE, np.float32)
    healthy[5:8, 5:8, 5:8] = 0.4  # 27 mm³
    healthy[8, 8, 8] = 0.4
    healthy[20:22, 20:22, 20:24] = 0.4  # 16 mm³
    assert calibration.found_ml(healthy, 0.3, PAPER) == pytest.approx(0.028)
    assert calibration.found_ml(healthy, 0.4, PAPER) == 0


def test_a_damaged_map_is_refused(weights, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in weights.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    card = load_weights(str(copy))[1]
    (copy / HEALTHY_FILE).write_bytes(b"x")
    with pytest.raises(WeightsError, match="SHA-256"):
        load_healthy_residual(card, str(copy))
    (copy / HEALTHY_FILE).unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        load_healthy_residual(card, str(copy))


def test_without_people_nothing_is_calibrated(weights, tmp_path):
    before = (weights / "card.json").read_bytes()
    with pytest.raises(TrainingError):
        calibrate(CalibrationConfig(weights, (tmp_path,), tmp_path))
    with pytest.raises(TrainingError, match="no prepared people"):
        calibrate(CalibrationConfig(weights, (), tmp_path))
    assert (weights / "card.json").read_bytes() == before


def test_people_that_training_saw_are_no_controls(weights, monkeypatch):
    monkeypatch.setattr(calibration, "load_cohort", lambda _: [Subject("IXI001", None, None)])
    with pytest.raises(TrainingError, match="trained on: IXI001"):
        calibrate(CalibrationConfig(weights, (Path("p"),), Path("c")))


def test_uncalibrated_weights_have_no_normalised_score(tmp_path):
    thresholds = {"T1w": 0.9, "T2w": 0.9, "FLAIR": 0.9}
    export_weights(PseudoHealthyModel(), tmp_path / "mine", thresholds)
    with pytest.raises(WeightsError, match="not calibrated"):
        load_healthy_residual(load_weights(str(tmp_path / "mine"))[1], str(tmp_path / "mine"))


def test_a_word_that_the_card_cannot_mean_is_refused(tmp_path):
    thresholds = {"T1w": 0.9, "T2w": 0.9, "FLAIR": 0.9}
    export_weights(
        PseudoHealthyModel(),
        tmp_path / "mine",
        thresholds,
        methods={"T1w": {"score": "normalized"}},
    )
    with pytest.raises(WeightsError, match=r"score must be .* got normalized"):
        load_weights(str(tmp_path / "mine"))


class FakeScorer(torch.nn.Module):
    """The logit is what it was made with, or the scan's own grey value divided."""

    def __init__(self, part=1.0, logit=None):
        super().__init__()
        self.part, self.logit = part, logit

    def forward(self, evidence, context, sequence):
        return evidence[:, :1] / self.part if self.logit is None else self.logit


def give_scorer(monkeypatch, scorer, residual=0.0):
    """Let the weights bring this scorer, and the residual be the same everywhere."""
    monkeypatch.setattr(networks, "load_scorer", lambda card, name: scorer)
    monkeypatch.setattr(score, "signed_residual", lambda image, *_: 0 * image + residual)


@pytest.mark.usefixtures("patched")
@pytest.mark.parametrize(
    ("part", "expected"), [(2, 1 / (1 + math.exp(-0.45))), (-2, 1 / (1 + math.exp(0.45)))]
)
def test_thresholds_of_the_refined_score(tmp_path, monkeypatch, part, expected):
    """FLAIR alone is refined; its logit is the scan of .9, divided."""
    thresholds = {"T1w": 0.9, "T2w": 0.9, "FLAIR": 0.9}
    methods = {"FLAIR": REFINED.to_json()}
    folder = export_weights(PseudoHealthyModel(), tmp_path / "mine", thresholds, methods=methods)
    give_scorer(monkeypatch, FakeScorer(part))
    asked = []

    def rebuild(model, image, mask, methods):
        asked.append({(method.route, method.reuse) for method in methods})
        return rebuild_to_half(model, image, mask, methods)

    monkeypatch.setattr(score, "rebuild", rebuild)
    monkeypatch.setattr(
        calibration,
        "draw_validation",
        lambda p, s, sequence, *a, **k: iter([scan_of(sequence, 0.4)]),
    )
    monkeypatch.setattr(calibration, "load_cohort", lambda p: [Subject(p.name, None, None)])
    calibrate(CalibrationConfig(folder, (Path("p"),), Path("c"), 1, 1))
    _, card = load_weights(str(folder))
    assert asked[-2:] == [{("both", "fitted")}] * 2  # FLAIR: its maps, its thresholds
    assert asked[0] == {("edges", "learned")}
    assert card.thresholds["FLAIR"] == pytest.approx(expected, abs=1e-3)
    # the hybrid score: no structure differs between two constants but their means
    similarity = (2 * 0.9 * 0.5 + 1e-4) / (0.9**2 + 0.5**2 + 1e-4)
    assert card.thresholds["T2w"] == pytest.approx(0.4 * (1 - similarity), abs=1e-3)


@pytest.mark.usefixtures("patched")
@pytest.mark.parametrize("gap_weight", [0.0, 5.0])
def test_lesions_make_the_refined_score_a_probability(tmp_path, monkeypatch, gap_weight):
    """A network that is twice as sure as it may be, and of too much; the residual is .2."""
    method = dataclasses.replace(REFINED, gap_weight=gap_weight)
    methods = {sequence: method.to_json() for sequence in SEQUENCES}
    thresholds = dict.fromkeys(SEQUENCES, 0.9)
    folder = export_weights(PseudoHealthyModel(), tmp_path / "mine", thresholds, methods=methods)
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 3, SHAPE).astype(np.float32)
    lesion = rng.random(SHAPE) < 1 / (1 + np.exp(-(0.5 * logit - 1)))

    def draw(people, shapes, sequence, count, *, seed, kinds=None):
        scan = scan_of(sequence, 0.4)
        if kinds is None:
            assert shapes == ["held out"] and people[0].name == "c"
            scan = dataclasses.replace(scan, lesion=lesion)
        yield scan

    monkeypatch.setattr(calibration, "draw_validation", draw)
    monkeypatch.setattr(calibration, "load_shapes", lambda *a, held_out: ["held out"] * held_out)
    monkeypatch.setattr(calibration, "load_cohort", lambda p: [Subject(p.name, None, None)])
    give_scorer(monkeypatch, FakeScorer(logit=torch.from_numpy(logit)[None, None]), 0.2)
    shapes = tmp_path / "shapes"
    calibrate(CalibrationConfig(folder, (Path("p"),), Path("c"), 1, 1, shapes))
    _, card = load_weights(str(folder))
    for sequence in SEQUENCES:
        slope, offset = card.probability[sequence]
        assert slope == pytest.approx(0.5, abs=0.02)
        assert offset == pytest.approx(-1 - 0.5 * 0.2 * gap_weight, abs=0.06)
