"""The command that makes a result again, put together from what its `run.json` says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from anatomaly.config import DetectConfig

OPTIONS = {
    "preprocess.brain_extraction": "--brain-extraction",
    "preprocess.brain_mask": "--brain-mask",
    "route": "--route",
    "edges": "--edges",
    "reuse": "--reuse",
    "weights": "--weights",
    "atlas": "--atlas",
    "anomaly.score": "--score",
    "anomaly.polarity": "--polarity",
    "anomaly.threshold": "--threshold",
    "anomaly.grow_share": "--grow-share",
    "anomaly.min_lesion_mm3": "--min-lesion-mm3",
}
FLAGS = {"preprocess.bias_field": "--no-bias-field", "preprocess.force": "--force"}


def command_of(run: Mapping[str, Any]) -> str:
    """Return the command line; what the run settled in the place of `auto` is written out.

    Folders are left out, file names stay: the page may be handed on.

    >>> command_of({"scan": {"name": "a"}, "sequence": "T1w", "config": {"weights": "mine"}})
    'anatomaly detect a -o results --sequence T1w --weights mine'
    """
    scan = run.get("scan", {})
    words = ["anatomaly", "detect", str(scan.get("file") or scan.get("name", "SCAN"))]
    words += ["-o", "results", "--sequence", str(run.get("sequence", "auto"))]
    told, usual = _flat(run.get("config", {})), _flat(asdict(DetectConfig()))
    for field, flag in FLAGS.items():
        if field in told and told[field] != usual[field]:
            words.append(flag)
    for field, option in OPTIONS.items():
        value = told.get(field)
        if value is not None and value != usual[field]:
            is_path = field in ("preprocess.brain_mask", "atlas", "weights")
            words += [option, PurePath(str(value)).name if is_path else f"{value}"]
    return shlex.join(words)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested fields under names with a dot."""
    out: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            out |= {f"{name}.{inner}": item for inner, item in value.items()}
        else:
            out[name] = value
    return out
