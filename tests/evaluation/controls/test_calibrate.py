"""Calibration on controls, with a detector that finds what a name says."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anatomaly.config import AnomalyConfig, DetectConfig
from anatomaly.errors import ConfigError, EvaluationError, ScanError
from anatomaly.evaluation.controls import calibrate
from anatomaly.evaluation.controls.calibrate import ControlsConfig, calibrate_controls
from anatomaly.evaluation.controls.detection_limit import Trial
from anatomaly.report.answer import say_limit
from anatomaly.volume import PreparedImage, Volume
from anatomaly.weights import find_weights
from anatomaly.weights_card import controls_for, healthy_ml_for, read_card

SHAPE = (20, 20, 40)


class FakeDetector:
    """Finds 2 mL at the score that the scan's name ends with."""

    def __init__(self, config):
        self.card = read_card(find_weights("default"))
        self.methods = {name: self.card.method_for(name) for name in ("T1w", "T2w", "FLAIR")}
        self.networks = None

    def detect_prepared(self, scan, prepared):
        data = np.zeros(SHAPE, np.float32)
        data.flat[:2000] = float(scan.split("_")[-1])
        volume = Volume(data, np.eye(4))
        brain = volume.with_data(np.ones(SHAPE, np.uint8))
        sequence = prepared.image.sequence
        return SimpleNamespace(anomaly_map=volume, brain_mask=brain, sequence=sequence, warnings=())


@pytest.fixture(autouse=True)
def patched(monkeypatch):
    def read(path):
        if "bad" in path.name:
            raise ScanError("not a scan")
        if "odd" in path.name:
            raise MemoryError
        return path.name

    def prepare(scan, config, sequence):
        image = PreparedImage(np.zeros(SHAPE, np.float32), np.ones(SHAPE, bool), scan.split("_")[1])
        return SimpleNamespace(image=image)

    def try_control(networks, prepared, method, threshold, who, seed):
        assert prepared.image.dtype == np.float32
        found = who[1] > 0
        return [Trial(prepared.sequence, who[0], 1.0, "clear", "deep grey", found)]

    monkeypatch.setattr(calibrate, "Detector", FakeDetector)
    monkeypatch.setattr(calibrate, "read_scan", read)
    monkeypatch.setattr(calibrate, "prepare", prepare)
    monkeypatch.setattr(calibrate, "try_control", try_control)


def scans(sequence="T1w", count=6, **more):
    named = {f"sub-{n}": Path(f"sub-{n}_{sequence}_{(n + 1) / 10}") for n in range(count)}
    return named | {name: Path(value) for name, value in more.items()}


def test_the_weights_that_come_out(tmp_path):
    said = []
    output = tmp_path / "ours"
    named = scans(wrong="bad", worse="odd", other="x_FLAIR_0.9")
    own = calibrate_controls(ControlsConfig(named, output), said.append)
    card, before = read_card(output), read_card(find_weights("default"))
    assert own["T1w"].threshold == pytest.approx(0.3, abs=0.002)  # half of six: three
    assert card.thresholds == before.thresholds | {"T1w": own["T1w"].threshold}
    assert (card.name, card.sha256, card.scorer_sha256) == (
        "ours", before.sha256, before.scorer_sha256,
    )  # fmt: skip
    assert card.healthy_ml["FLAIR"] == before.healthy_ml["FLAIR"]
    assert card.healthy_ml["T1w"]["half"][-1] == 0
    assert any("wrong: left out: ScanError: not a scan" in line for line in said)
    assert any("worse: left out: MemoryError" in line for line in said)
    assert any("FLAIR: 1 controls are too few" in line for line in said)
    with (output / "controls.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["name"] for row in rows] == [f"sub-{n}" for n in range(6)]
    assert float(rows[-1]["left_out_ml"]) == pytest.approx(2.0)
    assert (output / "detection_limit.png").stat().st_size > 5000
    assert len((output / "detection_limit.tsv").read_text().splitlines()) == 7
    assert {p.name for p in tmp_path.iterdir()} == {"ours"}


def test_what_the_page_is_told(tmp_path):
    calibrate_controls(ControlsConfig(scans(), tmp_path / "ours"), lambda text: None)
    card = read_card(tmp_path / "ours")
    method, least = card.method_for("T1w"), AnomalyConfig.min_lesion_mm3
    told = controls_for(card, "T1w", method, least, card.thresholds["T1w"])
    assert told["controls"] == 6 and told["limit"]["contrasts"]["clear"][2] == [5, 6]
    assert "6 healthy controls of your scanner: clear lesions are found from 1 mL (5 of 6)" in (
        say_limit(told)
    )
    elsewhere = controls_for(card, "T1w", method, least, 0.9)
    assert elsewhere["controls"] == 6 and "limit" not in elsewhere
    assert controls_for(card, "T1w", method, least + 1, card.thresholds["T1w"]) == {}
    assert controls_for(card, "T2w", card.method_for("T2w"), least, card.thresholds["T2w"]) == {}
    assert healthy_ml_for(card, "T1w", method, least)["default"] == card.thresholds["T1w"]
    assert say_limit({}) == ""


def test_without_planting_nothing_is_said_of_a_limit(tmp_path):
    config = ControlsConfig(scans(), tmp_path / "ours", plant=False)
    calibrate_controls(config, lambda text: None)
    assert not (tmp_path / "ours" / "detection_limit.tsv").exists()
    content = json.loads((tmp_path / "ours" / "card.json").read_text())
    assert content["controls"]["T1w"]["limit"] == {}


def test_too_few_leave_nothing_behind(tmp_path):
    with pytest.raises(EvaluationError, match="no sequence has 5 healthy controls"):
        calibrate_controls(ControlsConfig(scans(count=4), tmp_path / "ours"), lambda text: None)
    assert list(tmp_path.iterdir()) == []


def test_an_older_folder_stays(tmp_path):
    (tmp_path / "ours").mkdir()
    with pytest.raises(ConfigError, match="is there already"):
        calibrate_controls(ControlsConfig(scans(), tmp_path / "ours"), lambda text: None)
    told = replace(DetectConfig(), anomaly=AnomalyConfig(threshold=0.4))
    shutil.rmtree(tmp_path / "ours")
    with pytest.raises(ConfigError, match="takes none"):
        calibrate_controls(ControlsConfig(scans(), tmp_path / "ours", told), lambda text: None)
