from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from anatomaly.config import PreprocessConfig
from anatomaly.errors import PreparationError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, apply_affine
from anatomaly.native import brain_mask_native
from anatomaly.preprocess import chain
from anatomaly.preprocess.appearance import Appearance
from anatomaly.preprocess.chain import prepare
from anatomaly.preprocess.quality import mask_dice
from anatomaly.preprocess.register import Registration
from anatomaly.preprocess.reorient import reorient
from anatomaly.preprocess.template import load_template
from anatomaly.volume import Scan

MOVED = np.array(
    [[1.03, 0.1, 0, 12], [-0.1, 0.97, 0.08, -9], [0.0, -0.06, 0.95, 7], [0, 0, 0, 1.0]]
)


@pytest.fixture(scope="module")
def prepared(make_phantom):
    volume, mask = make_phantom("T2w", MOVED)
    return Scan(volume, "phantom"), mask, prepare(Scan(volume, "phantom"))


def test_stripped_phantom_reaches_the_template(prepared):
    _, mask, found = prepared
    assert found.image.shape == TEMPLATE_SHAPE
    np.testing.assert_array_equal(found.image.affine, TEMPLATE_AFFINE)
    assert found.image.data.dtype == np.float32
    assert found.image.data.min() == 0 and found.image.data.max() == 1
    assert not found.image.data[~found.brain_mask.data].any()
    assert mask_dice(found.brain_mask.data, load_template().brain_mask.data) > 0.97
    np.testing.assert_array_equal(brain_mask_native(found.trace).data, mask.data)
    places = apply_affine(TEMPLATE_AFFINE, np.argwhere(found.brain_mask.data)[::100])
    there = apply_affine(MOVED, places)
    back = apply_affine(found.trace.registration.scanner_to_template, there)
    assert np.linalg.norm(back - places, axis=1).mean() < 1.0


def test_sequence_is_read_from_the_image(prepared):
    assert prepared[2].sequence == "T2w"
    (coarse,) = prepared[2].trace.warnings  # 2 mm along its finest axis, without skull
    assert "no axis is finer than 2.0 mm" in coarse


def test_summary_is_json_and_names_every_step_in_order(prepared):
    said = json.loads(json.dumps(prepared[2].trace.summary()))
    assert [step["name"] for step in said["steps"]] == [
        "reorient",
        "brain extraction",
        "bias field",
        "registration",
        "bias field of both hemispheres",
        "resampling",
        "normalisation",
        "appearance",
        "sequence",
    ]
    assert said["quality"]["dice"] == pytest.approx(prepared[2].trace.registration.dice, abs=1e-4)


def _without_registration(monkeypatch, **found):
    values = {"dice": 0.95, "correlation": 0.6, "margin": 2.0} | found
    monkeypatch.setattr(chain, "register_to_template", lambda *_: Registration(np.eye(4), **values))


NO_BIAS = PreprocessConfig(bias_field=False)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"dice": 0.7}, r"Dice\) 0\.70, at least 0\.88"),
        ({"margin": 1.0}, r"1\.00 times as well"),
        ({"correlation": 0.1}, "agreement 0.10"),
    ],
)
def test_poor_fit_stops_unless_forced(make_phantom, monkeypatch, found, said):
    volume, _ = make_phantom("T1w")
    _without_registration(monkeypatch, **found)
    with pytest.raises(PreparationError, match=said) as caught:
        prepare(Scan(volume, "phantom"), NO_BIAS)
    assert "--brain-mask" in str(caught.value) and "--force" in str(caught.value)
    forced = prepare(Scan(volume, "phantom"), PreprocessConfig(bias_field=False, force=True))
    assert any("does not fit" in warning for warning in forced.trace.warnings)


def test_part_of_a_brain_is_refused_by_its_volume(make_phantom, monkeypatch):
    volume, mask = make_phantom("T1w")
    _without_registration(monkeypatch)
    part = volume.with_data(np.where(np.arange(volume.shape[2]) > 50, volume.data, 0))
    assert 250 < mask.data[:, :, 51:].sum() * volume.voxel_volume_mm3 / 1000 < 600
    with pytest.raises(PreparationError, match=r"holds \d+ mL, a brain 600 to 2300 mL"):
        prepare(Scan(part, "phantom"), NO_BIAS)


def test_far_too_large_mask_of_ours_is_refused_only_after_the_head_was_tried_upright(
    make_phantom, monkeypatch
):
    volume, mask = make_phantom("T1w")
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    millilitres = iter([2800.0, 1500.0])

    def extract(given, _):
        found = given.with_data(reorient(mask)[0].data)
        return found, chain.BrainExtraction("deepbet", next(millilitres), False)

    monkeypatch.setattr(chain, "extract_brain", extract)
    monkeypatch.setattr(chain, "trim_to_template", lambda given, _: given)
    scores = iter([0.5, 0.6])
    monkeypatch.setattr(
        chain, "register_to_template", lambda *_: Registration(turn, 0.9, next(scores), 2.0)
    )
    assert prepare(Scan(volume, "phantom"), NO_BIAS).trace.quality["brain_ml"] == 1500


def test_a_worse_second_try_does_not_cost_the_first(make_phantom, monkeypatch):
    volume, mask = make_phantom("T1w")
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    tries = iter([1500.0, 0.0])

    def extract(given, _):
        millilitres = next(tries)
        if not millilitres:
            raise PreparationError("no brain found")
        found = given.with_data(reorient(mask)[0].data)
        return found, chain.BrainExtraction("deepbet", millilitres, False)

    monkeypatch.setattr(chain, "extract_brain", extract)
    monkeypatch.setattr(chain, "trim_to_template", lambda given, _: given)
    monkeypatch.setattr(
        chain, "register_to_template", lambda *_: Registration(turn, 0.95, 0.6, 2.0)
    )
    assert prepare(Scan(volume, "phantom"), NO_BIAS).trace.quality["brain_ml"] == 1500


@pytest.mark.parametrize(("told", "used"), [("option", "T1w"), ("hint", "T2w")])
def test_option_wins_over_the_image_and_the_image_over_a_name(
    make_phantom, monkeypatch, told, used
):
    volume, _ = make_phantom("T2w")
    _without_registration(monkeypatch)
    if told == "option":
        found = prepare(Scan(volume, "phantom"), NO_BIAS, sequence="T1w")
    else:
        found = prepare(Scan(volume, "phantom", sequence_hint="T1w"), NO_BIAS)
    assert found.sequence == used
    (warning,) = [one for one in found.trace.warnings if "looks like" in one]
    assert "says T1w, the image looks like T2w" in warning and f"{used} was used" in warning


def test_unusual_head_is_told_or_refused(make_phantom, monkeypatch):
    volume, _ = make_phantom("T1w")
    _without_registration(monkeypatch)
    measured = Appearance(brain_ml=1400.0, finest_mm=1.0, cover_signal=0.05)
    monkeypatch.setattr(chain, "measure_appearance", lambda *_, **__: measured)
    told = prepare(Scan(volume, "phantom", sequence_hint="FLAIR"), NO_BIAS)
    assert told.sequence == "FLAIR"  # the tissues of what may be a map decide nothing
    assert any("skull and scalp (0.05" in warning for warning in told.trace.warnings)
    (step,) = [step for step in told.trace.steps if step.name == "appearance"]
    assert step.record == {"brain_ml": 1400.0, "finest_mm": 1.0, "cover_signal": 0.05}
    measured = replace(measured, finest_mm=2.0)
    with pytest.raises(PreparationError, match=r"echo-planar.*--force"):
        prepare(Scan(volume, "phantom"), NO_BIAS)
    forced = prepare(Scan(volume, "phantom"), replace(NO_BIAS, force=True))
    assert any("echo-planar" in warning for warning in forced.trace.warnings)


def test_trace_holds_no_second_copy_of_the_scan(prepared):
    grid = prepared[2].trace.scan_grid
    assert grid.shape == prepared[0].volume.shape
    assert grid.data.strides == (0, 0, 0)


def test_head_that_lies_turned_is_extracted_again_upright(make_phantom, monkeypatch):
    volume, mask = make_phantom("T1w")
    shown = []

    mask_ras, _ = reorient(mask)

    def extract(given, _):
        shown.append(given.affine)
        return given.with_data(mask_ras.data), chain.BrainExtraction("deepbet", 1500.0, False)

    turn = np.eye(4)
    turn[1:3, 1:3] = [[0, -1], [1, 0]]
    monkeypatch.setattr(chain, "extract_brain", extract)
    monkeypatch.setattr(
        chain, "register_to_template", lambda *_: Registration(turn, 0.95, 0.6, 2.0)
    )
    monkeypatch.setattr(chain, "trim_to_template", lambda given, _: given)
    found = prepare(Scan(volume, "phantom"), NO_BIAS)
    np.testing.assert_allclose(shown[1], turn @ shown[0])
    assert any("turned by 90°" in warning for warning in found.trace.warnings)
    np.testing.assert_allclose(found.trace.brain_mask_ras.affine, reorient(volume)[0].affine)
