"""`anatomaly calibrate`: weights whose thresholds and limits are those of your own scanner."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from anatomaly.config import DetectConfig
from anatomaly.errors import ConfigError, EvaluationError
from anatomaly.evaluation.controls.control import Control, measure_control
from anatomaly.evaluation.controls.detection_limit import (
    COLUMNS,
    Trial,
    count_trials,
    draw_limits,
    try_control,
)
from anatomaly.evaluation.controls.own_thresholds import (
    LEAST_CONTROLS,
    OwnThreshold,
    doubts_about_number,
    join_controls,
)
from anatomaly.pipeline import Detector
from anatomaly.preprocess.chain import prepare
from anatomaly.scan.read import read_scan
from anatomaly.scan.write import output_folder
from anatomaly.types import SEQUENCES, MrSequence
from anatomaly.volume import PreparedImage
from anatomaly.weights import find_weights
from anatomaly.weights_card import update_card

MOST_PLANTED = 20
"""Controls of a sequence that lesions are planted into; each takes half a minute on two cores."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class ControlsConfig:
    """What `anatomaly calibrate` is told.

    Attributes:
        scans: name to path, of healthy people alone.
        output: folder of weights to write; must not exist.
        detect: weights, sequence, device, preparation; thresholds are not read.
        plant: measure the detection limit too.
        seed: of planted lesions and of the bootstrap.
    """

    scans: Mapping[str, Path]
    output: Path
    detect: DetectConfig = field(default_factory=DetectConfig)
    plant: bool = True
    seed: int = 0


@dataclass
class _Measured:
    """What was measured so far, of every sequence."""

    controls: dict[MrSequence, list[Control]] = field(default_factory=dict)
    prepared: dict[str, PreparedImage] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def calibrate_controls(
    config: ControlsConfig, say: Say, start: Say = lambda name: None
) -> dict[MrSequence, OwnThreshold]:
    """Measure controls and write weights that keep them quiet.

    Args:
        config: scans and weights.
        say: receives one line for each scan, and what was found.
        start: receives the name of each scan before it is measured.

    Returns:
        The thresholds that were written; sequences with fewer than `LEAST_CONTROLS` controls keep
        those of the weights they started from.

    Raises:
        ConfigError: the output exists, or a threshold was given.
        EvaluationError: no sequence has enough controls.
    """
    if config.output.exists():
        raise ConfigError(f"{config.output} is there already; give the new weights another name")
    if config.detect.anomaly.threshold is not None:
        raise ConfigError("calibrate finds the threshold; it takes none")
    detector = Detector(config.detect)
    measured = _measure(detector, config, say, start)
    enough = {s: c for s, c in measured.controls.items() if len(c) >= LEAST_CONTROLS}
    for sequence in set(measured.controls) - set(enough):
        number = len(measured.controls[sequence])
        say(
            f"{sequence}: {number} controls are too few, {LEAST_CONTROLS} are needed; left as it is"
        )
    if not enough:
        raise EvaluationError(
            f"no sequence has {LEAST_CONTROLS} healthy controls that could be prepared"
        )
    found: dict[MrSequence, OwnThreshold] = {}
    trials: dict[MrSequence, list[Trial]] = {}
    for sequence in (name for name in SEQUENCES if name in enough):
        found[sequence] = join_controls(enough[sequence], config.seed)
        for line in describe_threshold(sequence, found[sequence]):
            say(line)
        if config.plant:
            threshold = found[sequence].threshold
            trials[sequence] = _plant(detector, measured, sequence, threshold, config, say)
    _write(config, detector, enough, found, trials)
    return found


def _measure(detector: Detector, config: ControlsConfig, say: Say, start: Say) -> _Measured:
    """Prepare and score every control; a bad one never stops the others."""
    measured = _Measured()
    for name, path in config.scans.items():
        start(name)
        try:
            scan = read_scan(path)
            prepared = prepare(scan, config.detect.preprocess, config.detect.sequence)
            detection = detector.detect_prepared(scan, prepared)
            control = measure_control(name, detection, detector.methods[detection.sequence])
        except (Exception, MemoryError) as error:  # a bad one must not cost the others
            measured.failures[name] = f"{type(error).__name__}: {error}"
            say(f"{name}: left out: {measured.failures[name]}")
            continue
        own = measured.controls.setdefault(control.sequence, [])
        own.append(control)
        if config.plant and len(own) <= MOST_PLANTED:
            image = prepared.image
            measured.prepared[name] = replace(image, image=image.image.astype(np.float16))
        say(f"{name}: {control.sequence}, within 1 mL from a threshold of {control.at_half:.3f}")
        for warning in control.warnings:
            say(f"{name}: warning: {warning}")
    return measured


def _plant(
    detector: Detector,
    measured: _Measured,
    sequence: MrSequence,
    threshold: float,
    config: ControlsConfig,
    say: Say,
) -> list[Trial]:
    """Look for planted lesions in the controls of a sequence."""
    method, trials = detector.methods[sequence], list[Trial]()
    names = [c.name for c in measured.controls[sequence] if c.name in measured.prepared]
    for number, name in enumerate(names):
        image = measured.prepared[name]
        image = replace(image, image=image.image.astype(np.float32))
        who = name, number
        try:
            new = list(try_control(detector.networks, image, method, threshold, who, config.seed))
        except (Exception, MemoryError) as error:
            say(f"{name}: no lesions planted: {type(error).__name__}: {error}")
            continue
        trials += new
        say(f"{name}: {sum(trial.found for trial in new)} of {len(new)} planted lesions found")
    return trials


def describe_threshold(sequence: MrSequence, own: OwnThreshold) -> list[str]:
    """Say a threshold, how sure it is, and how it did on controls that it did not know."""
    number = len(own.left_out_ml)
    return [
        f"{sequence}: threshold {own.threshold:.3f} ({own.low:.3f} to {own.high:.3f}, 90 %) from "
        f"{number} controls; each by the others: {own.keeps_half} within 1 mL (half may be above), "
        f"{own.keeps_most} within 5 mL, worst {max(own.left_out_ml):.1f} mL",
        *(f"{sequence}: {doubt}" for doubt in doubts_about_number(number)),
    ]


def _write(
    config: ControlsConfig,
    detector: Detector,
    controls: Mapping[MrSequence, Sequence[Control]],
    found: Mapping[MrSequence, OwnThreshold],
    trials: Mapping[MrSequence, Sequence[Trial]],
) -> None:
    """Write the weights with their tables and figure, whole or not at all."""
    limits = {sequence: count_trials(own) for sequence, own in trials.items() if own}
    card = detector.card
    own: dict[str, Any] = {
        sequence: value.to_json() | {"limit": limits.get(sequence, {})}
        for sequence, value in found.items()
    }
    entries = {
        "name": config.output.name,
        "thresholds": card.thresholds | {s: value.threshold for s, value in found.items()},
        "healthy_ml": card.healthy_ml | {s: v.curve.to_json() for s, v in found.items()},
        "controls": card.controls | own,
    }
    with output_folder(config.output) as folder:
        others = shutil.ignore_patterns("controls.tsv", "detection_limit.*")  # of other controls
        shutil.copytree(
            find_weights(config.detect.weights), folder, dirs_exist_ok=True, ignore=others
        )
        update_card(folder, entries)
        _write_table(folder / "controls.tsv", CONTROL_COLUMNS, _control_rows(controls, found))
        if limits:
            rows = [trial for sequence in trials for trial in trials[sequence]]
            _write_table(folder / "detection_limit.tsv", COLUMNS, rows)
            number = max(len(each) for each in controls.values())
            title = f"{config.output.name}: lesions planted into {number} healthy controls"
            figure = draw_limits(limits, title)
            figure.savefig(folder / "detection_limit.png", dpi=130)


CONTROL_COLUMNS = (
    "name",
    "sequence",
    "threshold_1_ml",
    "threshold_5_ml",
    "left_out_ml",
    "warnings",
)


def _control_rows(
    controls: Mapping[MrSequence, Sequence[Control]], found: Mapping[MrSequence, OwnThreshold]
) -> list[tuple[object, ...]]:
    """Return a line for each control."""
    return [
        (c.name, s, f"{c.at_half:.4f}", f"{c.at_most:.4f}", f"{ml:.3f}", _line(c.warnings))
        for s, own in found.items()
        for c, ml in zip(controls[s], own.left_out_ml, strict=True)
    ]


def _line(warnings: Sequence[str]) -> str:
    """Return warnings as one cell."""
    return "; ".join(" ".join(warning.split()) for warning in warnings)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table, tab-separated."""
    lines = ["\t".join(columns), *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
