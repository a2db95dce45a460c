"""The experiments by name, how each is run, and its figures as tables and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from anatomaly.config import DetectConfig
from anatomaly.evaluation.experiments import (
    deformation,
    disentanglement,
    edges,
    modality,
    new_sequence,
    thresholds,
)
from anatomaly.evaluation.experiments.panels import Panel
from anatomaly.pipeline import Detector
from anatomaly.types import EdgeOption

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        question: that it answers.
        count: brains, where the user does not say: about two minutes on one core.
        run: detector, seed, count and data folder to a frozen result.
        draw: result and PNG file.
    """

    question: str
    count: int
    run: Callable[[Detector, int, int, Path | None], Any]
    draw: Callable[[Any, Path], None]


def _of_networks(module: Any, question: str) -> Experiment:
    """Return an experiment that looks at networks alone, on two brains."""
    return Experiment(
        question,
        2,
        lambda detector, seed, count, _: module.run(detector.networks.model, seed, count),
        module.draw,
    )


EXPERIMENTS: dict[str, Experiment] = {
    "disentanglement": Experiment(
        "Is the tissue map of one person the same whatever the sequence, and one-hot?",
        3,
        lambda detector, seed, count, data: disentanglement.run(
            detector.networks.model, seed, count, data
        ),
        disentanglement.draw,
    ),
    "edges": _of_networks(
        edges, "Do edges alone rebuild the anatomy, and is there a leak of intensities?"
    ),
    "modality": _of_networks(
        modality, "Is the modality code of a rebuilt image the one that was put in?"
    ),
    "deformation": Experiment(
        "Are deformation and atrophy kept, and so lost to the score?",
        1,
        lambda detector, seed, count, _: deformation.run(detector, seed, count),
        deformation.draw,
    ),
    "thresholds": _of_networks(
        thresholds, "What do the constants .29, .48 and .72 mean, and do they need fitting?"
    ),
    "new-sequence": _of_networks(
        new_sequence, "Do frozen networks take a sequence that training never named?"
    ),
}


def load_detector(weights: str, edges: EdgeOption = "auto") -> Detector:
    """Load weights for the experiments: on the CPU, T1w where a whole detection is run.

    Raises:
        WeightsError: as of `weights.load_model`.
    """
    return Detector(
        DetectConfig(weights=weights, edges=edges, device="cpu", sequence="T1w", threads=1)
    )


def tables_of(result: Any) -> dict[str, Rows]:
    """Return the tables of a result by the name of their field: one dictionary a row.

    Single figures make the table `figures`; pictures and raw codes are left out.
    """
    tables, single = dict[str, Rows](), dict[str, Any]()
    for field in fields(result):
        value = getattr(result, field.name)
        if isinstance(value, int | float) and field.name != "seed":
            single[field.name] = value
        elif isinstance(value, tuple) and value and _is_row(value[0]):
            tables[field.name] = [asdict(row) for row in value]
    return tables | ({"figures": [single]} if single else {})


def write_experiment(
    name: str, result: Any, folder: Path, about: dict[str, Any]
) -> tuple[Path, Path]:
    """Write the picture and the figures of an experiment.

    Args:
        name: key of `EXPERIMENTS`.
        result: of its `run`.
        folder: made if it is not there.
        about: what else the JSON says: weights, seed, count.

    Returns:
        `<name>.png` and `<name>.json` in the folder; nan becomes null in JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture, figures = folder / f"{name}.png", folder / f"{name}.json"
    EXPERIMENTS[name].draw(result, picture)
    content = {"experiment": name, **about, **tables_of(result)}
    figures.write_text(
        json.dumps(_without_nan(content), indent=2) + "\n", encoding="utf-8", newline="\n"
    )
    return picture, figures


def in_words(value: Any) -> str:
    """Return a figure as text: three decimals, four digits where small, nothing for nan.

    >>> [in_words(v) for v in (0.12345, 0.0, 3, "T1w", float("nan"), 0.00012)]
    ['0.123', '0', '3', 'T1w', '', '0.00012']
    """
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return ""
    return "0" if value == 0 else f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.2g}"


def _is_row(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, Panel)


def _without_nan(value: Any) -> Any:
    """Replace nan by None anywhere in lists and dictionaries."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
