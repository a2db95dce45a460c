from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from anatomaly.config import PreprocessConfig
from anatomaly.errors import PreparationError
from anatomaly.geometry import TEMPLATE_AFFINE, TEMPLATE_SHAPE, apply_affine
from anatomaly.native import brain_mask_native
from anatomaly.preprocess import chain
from anatomaly.preprocess.appearance import Appearance
from anatomaly.preprocess.background import find_usual_range
from anatomaly.preprocess.chain import prepare
from anatomaly.preprocess.crop import crop_to_content
from anatomaly.preprocess.quality import Fit, mask_dice
from anatomaly.preprocess.register import Registration
from anatomaly.preprocess.reorient import reorient, undo_reorient
from anatomaly.preprocess.template import load_template
from anatomaly.volume import Scan, Volume

MOVED = np.array(
    [[1.03, 0.1, 0, 12], [-0.1, 0.97, 0.08, -9], [0.0, -0.06, 0.95, 7], [0, 0, 0, 1.0]]
)


@pytest.fixture(scope="module")
def prepared(make_phantom):
    volume, mask = make_phantom("T2w", MOVED)
    return Scan(volume, "phantom"), mask, prepare(Scan(volume, "phantom"))


def test_stripped_phantom_reaches_the_template(prepared):
    _, mask, found = prepared
    assert found.image.image.shape == TEMPLATE_SHAPE
    assert found.image.image.dtype == np.float32
    assert found.image.image.min() == 0 and found.image.image.max() == 1
    assert not found.image.image[~found.image.brain_mask].any()
    assert mask_dice(found.image.brain_mask, load_template().brain_mask.data) > 0.96
    np.testing.assert_array_equal(brain_mask_native(found.trace).data, mask.data)
    places = apply_affine(TEMPLATE_AFFINE, np.argwhere(found.image.brain_mask)[::100])
    there = apply_affine(MOVED, places)
    back = apply_affine(found.trace.registration.scanner_to_template, there)
    assert np.linalg.norm(back - places, axis=1).mean() < 1.0


PADDING = ((7, 0), (0, 21), (3, 4))


def _padded(volume, value=0.0):
    data = np.pad(volume.data, PADDING, constant_values=value)
    affine = volume.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [before for before, _ in PADDING]
    return Volume(data, affine)


def _inner(data):
    part = tuple(slice(a, n - b) for (a, b), n in zip(PADDING, data.shape, strict=True))
    return data[part]


def test_empty_margins_change_nothing(prepared):
    scan, mask, found = prepared
    padded = prepare(Scan(_padded(scan.volume), "padded"))
    np.testing.assert_array_equal(padded.image.brain_mask, found.image.brain_mask)
    np.testing.assert_allclose(padded.image.image, found.image.image, atol=1e-4)
    back = brain_mask_native(padded.trace)
    np.testing.assert_array_equal(back.data, _padded(mask, False).data)
    np.testing.assert_array_equal(back.affine, _padded(mask, False).affine)
    whole = padded.trace.bias_field.field
    assert whole.shape == padded.trace.brain_mask_ras.shape
    there, ours = (
        undo_reorient(trace.bias_field.field, trace.reorientation).data
        for trace in (padded.trace, found.trace)
    )
    np.testing.assert_allclose(_inner(there), ours, atol=1e-4)
    assert padded.trace.warnings == found.trace.warnings


def test_spikes_and_dead_voxels_change_little_and_are_told(prepared):
    scan, mask, found = prepared
    rng, data = np.random.default_rng(8), scan.volume.data.copy()
    data[rng.random(data.shape) < 0.004] = 60000
    data[rng.random(data.shape) < 0.002] = -9000
    data[mask.data & (rng.random(data.shape) < 0.01)] = 0
    spoilt = prepare(Scan(_padded(scan.volume.with_data(data)), "spoilt"))
    assert mask_dice(spoilt.image.brain_mask, found.image.brain_mask) > 0.995
    both = ndimage.binary_erosion(spoilt.image.brain_mask & found.image.brain_mask, iterations=2)
    difference = np.abs(spoilt.image.image - found.image.image)[both]
    assert difference.mean() < 0.01 and np.percentile(difference, 99) < 0.1
    (said,) = set(spoilt.trace.warnings) - set(found.trace.warnings)
    assert "-9000 to 60000" in said


def test_slice_that_does_not_fit_is_told(make_phantom, monkeypatch):
    volume, _ = make_phantom("T1w")
    _without_registration(monkeypatch)
    data = volume.data.copy()
    data[:, :, 40] = 0
    found = prepare(Scan(_padded(volume.with_data(data)), "phantom"), NO_BIAS)
    assert any("axial slices 44 (counted from 1" in said for said in found.trace.warnings)


def test_sequence_is_read_from_the_image(prepared):
    assert prepared[2].image.sequence == "T2w"
    (coarse,) = prepared[2].trace.warnings  # 2 mm along its finest axis, without skull
    assert "no axis is finer than 2.0 mm" in coarse


def test_summary_is_json_and_names_every_step_in_order(prepared):
    said = json.loads(json.dumps(prepared[2].trace.summary()))
    assert [step["name"] for step in said["steps"]] == [
        "reorient",
        "outliers",
        "cropping",
        "brain extraction",
        "bias field",
        "registration",
        "bias field of both hemispheres",
        "resampling",
        "normalisation",
        "appearance",
        "sequence",
    ]
    assert said["quality"]["dice"] == pytest.approx(
        prepared[2].trace.registration.fit.dice, abs=1e-4
    )


GOOD = Fit(0.95, 0.07, 0.0, 0.4, 2.0, 0.0, 1.1)


def _inside_content(volume, mask):
    """The mask on the grid that the brain extraction is shown."""
    turned, _ = reorient(volume)
    _, crop = crop_to_content(turned, find_usual_range(turned.data))
    return reorient(mask)[0].data[crop.box]


def _without_registration(monkeypatch, **found):
    fit = replace(GOOD, **found)
    monkeypatch.setattr(chain, "register_to_template", lambda *_: Registration(np.eye(4), fit))


NO_BIAS = PreprocessConfig(bias_field=False)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"dice": 0.7}, r"Dice\) 0\.70, at least 0\.8"),
        ({"missing": 0.7}, r"70% of the brain missing"),
        ({"stretch": 2.0}, r"stretched 2\.00 times"),
        ({"correlation": 0.01, "margin": 1.0}, "nothing inside looks like a brain"),
        ({"outline_margin": -0.05, "margin": 1.0}, "neither outline .* nor tissues"),
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


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"dice": 0.85}, r"Dice\) 0\.85"),
        ({"outline_margin": 0.01}, "the wrong way round"),
        ({"shift_mm": 8.0}, "8 mm away"),
        ({"stretch": 1.6}, r"stretched 1\.60 times"),
        ({"correlation": 0.05}, "hardly seen"),
        ({"margin": 0.9}, "hardly seen"),
        ({"missing": 0.2}, "does not cover the whole brain: about 20 % is missing"),
    ],
)
def test_what_is_doubtful_runs_with_a_warning(make_phantom, monkeypatch, found, said):
    volume, _ = make_phantom("T1w")
    _without_registration(monkeypatch, **found)
    (warning,) = prepare(Scan(volume, "phantom"), NO_BIAS).trace.warnings
    assert re.search(said, warning)


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
        found = given.with_data(_inside_content(volume, mask))
        return found, chain.BrainExtraction("deepbet", next(millilitres), False)

    monkeypatch.setattr(chain, "extract_brain", extract)
    monkeypatch.setattr(chain, "trim_to_template", lambda given, _: given)
    scores = iter([0.85, 0.95])
    monkeypatch.setattr(
        chain,
        "register_to_template",
        lambda *_: Registration(turn, replace(GOOD, dice=next(scores))),
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
        found = given.with_data(_inside_content(volume, mask))
        return found, chain.BrainExtraction("deepbet", millilitres, False)

    monkeypatch.setattr(chain, "extract_brain", extract)
    monkeypatch.setattr(chain, "trim_to_template", lambda given, _: given)
    monkeypatch.setattr(chain, "register_to_template", lambda *_: Registration(turn, GOOD))
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
    assert found.image.sequence == used
    (warning,) = [one for one in found.trace.warnings if "looks like" in one]
    assert "says T1w, the image looks like T2w" in warning and f"{used} was used" in warning


def test_unusual_head_is_told_or_refused(make_phantom, monkeypatch):
    volume, _ = make_phantom("T1w")
    _without_registration(monkeypatch)
    measured = Appearance(brain_ml=1400.0, finest_mm=1.0, cover_signal=0.05)
    monkeypatch.setattr(chain, "measure_appearance", lambda *_, **__: measured)
    told = prepare(Scan(volume, "phantom", sequence_hint="FLAIR"), NO_BIAS)
    assert told.image.sequence == "FLAIR"  # the tissues of what may be a map decide nothing
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

    def extract(given, _):
        shown.append(given.affine)
        found = _inside_content(volume, mask)
        return given.with_data(found), chain.BrainExtraction("deepbet", 1500.0, False)

    turn = np.eye(4)
    turn[1:3, 1:3] = [[0, -1], [1, 0]]
    monkeypatch.setattr(chain, "extract_brain", extract)
    monkeypatch.setattr(chain, "register_to_template", lambda *_: Registration(turn, GOOD))
    monkeypatch.setattr(chain, "trim_to_template", lambda given, _: given)
    found = prepare(Scan(volume, "phantom"), NO_BIAS)
    np.testing.assert_allclose(shown[1], turn @ shown[0])
    assert any("turned by 90°" in warning for warning in found.trace.warnings)
    np.testing.assert_allclose(found.trace.brain_mask_ras.affine, reorient(volume)[0].affine)
