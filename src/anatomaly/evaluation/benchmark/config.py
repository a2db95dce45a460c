"""What a benchmark measures: a TOML file, checked before anything runs."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from anatomaly.errors import ConfigError
from anatomaly.evaluation.benchmark.method import Budget, find_method
from anatomaly.evaluation.benchmark.planting import LesionRanges, with_ranges
from anatomaly.types import SEQUENCES, MrSequence

_ANATOMIES = ("template", "label_maps", "cohort", "scans")
_CONFIGS = files("anatomaly.evaluation.benchmark") / "configs"
_FOLDERS = ("folder", "healthy_folder", "shapes")
"""Entries of a data set in which `$NAME` stands for an environment variable."""


@dataclass(frozen=True)
class DatasetPlan:
    """One data set of a benchmark.

    Attributes:
        name: in the table; also the folder of its prepared scans.
        kind: `phantoms` (drawn, lesions planted) or `folder` (a test set that you have).
        train: healthy people to learn from.
        validation: healthy people for the thresholds.
        lesions: test people with lesions; of a `folder` the first so many, 0 for all.
        healthy: healthy test people, for false positives.
        anatomy: of phantoms: `template` (nilearn's tissue maps), `label_maps` (people prepared by
            `anatomaly train`, in `folder`), `cohort` (heads with parcellations, in `train/` and
            `validation/` below `folder`: T1w as it is, other sequences drawn) or `scans` (healthy
            scans of `healthy_set`).
        folder: of the test set as shipped, of the prepared label maps, or of the cohort.
        set: name of the test set, as `anatomaly datasets` lists it.
        healthy_set: where healthy people come from, if not from the test set.
        healthy_folder: its folder.
        shapes: folder with masks of real lesions (`stroke/`, `ms/`) for phantoms; empty for balls.
        planted: ranges of planted lesions.
        learn_from: an earlier data set whose networks serve here too, trained once (`train` is 0
            then), and whose healthy scans set the thresholds where `validation` is 0.
    """

    name: str
    kind: str = "phantoms"
    train: int = 8
    validation: int = 4
    lesions: int = 6
    healthy: int = 4
    anatomy: str = "template"
    folder: str = ""
    set: str = ""
    healthy_set: str = ""
    healthy_folder: str = ""
    shapes: str = ""
    planted: LesionRanges = field(default_factory=LesionRanges)
    learn_from: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9-]+", self.name):
            raise ConfigError(f"data set name {self.name!r}: use a-z, 0-9 and - alone")
        _choose(f"{self.name}: kind", self.kind, ("phantoms", "folder"))
        _choose(f"{self.name}: anatomy", self.anatomy, _ANATOMIES)
        own = int(not self.learn_from)
        least = {"train": own, "validation": own, "lesions": 0, "healthy": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < low:
                raise ConfigError(f"{self.name}: {name} must be {low} or more, got {value!r}")
        if self.learn_from and self.train:
            raise ConfigError(f"{self.name}: train must be 0: it learns from {self.learn_from}")
        for name in self._needed():
            if not getattr(self, name):
                raise ConfigError(f"{self.name}: {name} is needed for this kind of data set")

    def _needed(self) -> tuple[str, ...]:
        if self.kind == "folder":
            people = self.train + self.validation + self.healthy
            return ("set", "folder", *(("healthy_set", "healthy_folder") if people else ()))
        if self.anatomy == "scans":
            return "healthy_set", "healthy_folder"
        return () if self.anatomy == "template" else ("folder",)


@dataclass(frozen=True)
class BenchmarkConfig:
    """A whole benchmark.

    Attributes:
        name: of the configuration.
        seed: of all that is drawn.
        methods: names of files in `evaluation/baselines`.
        against: the method that the others are compared with.
        sequences: each with networks of its own.
        datasets: in the order of the table.
        budget: of every method that is trained.
        tolerance_ap: by how much an AP may differ on another machine.
        leader: method whose lead over the best of `rivals` the overview states; empty for none.
        rivals: the methods that it is compared with.
        notes: what a reader has to know, printed above the table.
    """

    name: str
    seed: int
    methods: tuple[str, ...]
    against: str
    sequences: tuple[MrSequence, ...]
    datasets: tuple[DatasetPlan, ...]
    budget: Budget = field(default_factory=Budget)
    tolerance_ap: float = 0.05
    leader: str = ""
    rivals: tuple[str, ...] = ()
    notes: str = ""

    def __post_init__(self) -> None:
        for method in self.methods:
            find_method(method)
        _choose("against", self.against, self.methods)
        for method in (*self.rivals, *([self.leader] if self.leader else [])):
            _choose("leader and rivals", method, self.methods)
        for sequence in self.sequences:
            _choose("sequence", sequence, SEQUENCES)
        for what in ("methods", "sequences", "datasets"):
            values = [getattr(v, "name", v) for v in getattr(self, what)]
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"{what}: one or more, each once, got {values}")
        for number, plan in enumerate(self.datasets):
            if plan.learn_from:
                earlier = [p.name for p in self.datasets[:number] if not p.learn_from]
                _choose(f"{plan.name}: learn_from", plan.learn_from, tuple(earlier))
        if type(self.seed) is not int or self.seed < 0:
            raise ConfigError(f"seed must be a whole number >= 0, got {self.seed!r}")

    def source_of(self, plan: DatasetPlan) -> DatasetPlan:
        """Return the data set whose networks a data set uses: its own, or that it learns from."""
        return next(p for p in self.datasets if p.name == (plan.learn_from or plan.name))


def packaged_configs() -> list[str]:
    """Return the names of the configurations that come with the package."""
    return sorted(path.name.removesuffix(".toml") for path in _CONFIGS.iterdir())


def read_config(name_or_path: str) -> BenchmarkConfig:
    """Read a configuration that comes with the package, or a file.

    Raises:
        ConfigError: there is none, it is no TOML, or an entry is unknown or out of its range.

    >>> read_config("phantoms").against
    'intensity_threshold'
    """
    path = Path(name_or_path)
    if name_or_path in packaged_configs():
        path = Path(str(_CONFIGS / f"{name_or_path}.toml"))
    elif not path.is_file():
        raise ConfigError(
            f"{name_or_path}: no such file, and none of {', '.join(packaged_configs())}"
        )
    try:
        return parse_config(tomllib.loads(path.read_text(encoding="utf-8")), path.stem)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no TOML: {error}") from error


def parse_config(values: dict[str, Any], name: str) -> BenchmarkConfig:
    """Turn the values of a TOML file into a configuration.

    Raises:
        ConfigError: an entry is missing, unknown or out of its range.
    """
    values = dict(values)
    plans = []
    for entry in values.pop("datasets", []):
        ranges = with_ranges(LesionRanges(), entry.get("planted", {}))
        folders = {name: _expanded(entry[name]) for name in _FOLDERS if name in entry}
        plans.append(_make(DatasetPlan, entry | folders | {"planted": ranges}, "datasets"))
    values["datasets"] = tuple(plans)
    values["budget"] = _make(Budget, values.pop("budget", {}), "budget")
    for listed in ("methods", "sequences", "rivals"):
        values[listed] = tuple(values.get(listed, ()))
    config: BenchmarkConfig = _make(BenchmarkConfig, {"name": name} | values, name)
    return config


def _expanded(folder: Any) -> str:
    """Return a folder with its environment variables filled in.

    Raises:
        ConfigError: one is not set.
    """
    out = os.path.expandvars(str(folder))
    if "$" in out:
        raise ConfigError(f"folder {out}: set this environment variable first")
    return out


def _make(kind: Any, values: dict[str, Any], where: str) -> Any:
    """Build a dataclass, or say which entries there are."""
    try:
        return kind(**values)
    except TypeError as error:
        known = ", ".join(kind.__dataclass_fields__)
        raise ConfigError(f"{where}: unknown or missing entry ({error}); known: {known}") from error


def _choose(what: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{what} must be one of {', '.join(allowed)}, got {value!r}")
