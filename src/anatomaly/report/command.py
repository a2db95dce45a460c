"""The command that makes a result again, put together from what its `run.json` says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from anatomaly.config import DetectConfig

FLAGS = {"bias_field": "--no-bias-field", "force": "--force"}
FILES = ("brain_mask", "weights", "atlas")
OPTIONS = (
    "brain_extraction", "brain_mask", "route", "edges", "reuse", "weights", "atlas",
    "score", "polarity", "threshold", "grow_share", "min_lesion_mm3",
)  # fmt: skip
"""Fields of the configuration that have an option of the same name, in the order of the command."""


def command_of(run: Mapping[str, Any]) -> str:
    """Return the command line; what the run settled in the place of `auto` is written out.

    Folders are left out, file names stay: the page may be handed on.

    >>> command_of({"scan": {"name": "a"}, "sequence": "T1w", "config": {"weights": "mine"}})
    'anatomaly detect a -o results --sequence T1w --weights mine'
    """
    scan = run.get("scan", {})
    words = ["anatomaly", "detect", str(scan.get("file") or scan.get("name", "SCAN"))]
    words += ["-o", "results", "--sequence", str(run.get("sequence", "auto"))]
    values, defaults = _flat(run.get("config", {})), _flat(asdict(DetectConfig()))
    words += [
        flag for name, flag in FLAGS.items() if values.get(name) not in (None, defaults[name])
    ]
    for name in OPTIONS:
        value = values.get(name)
        if (name, value) == ("reuse", "refined"):
            value = "adjusted"  # its name in results of earlier versions
        if value not in (None, defaults[name]):
            text = PurePath(str(value)).name if name in FILES else str(value)
            words += [f"--{name.replace('_', '-')}", text]
    return shlex.join(words)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a configuration and of its parts, by name."""
    return {**config, **config.get("preprocess", {}), **config.get("anomaly", {})}
