"""The recipe: which stages there are, in order, and the numbers that each is trained with.

The list is `LINES`; lengths, rates, seeds and weights of losses stand in `recipe.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from anatomaly.errors import TrainingError
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.loop import Stage
from anatomaly.training.routes_stage import RoutesStage
from anatomaly.training.stages import (
    AnatomyStage,
    DisentangleStage,
    EdgeStage,
    FinetuneStage,
    RestorationStage,
    StraightStage,
)


@dataclass(frozen=True)
class StagePlan:
    """One line of the recipe.

    Attributes:
        name: of the stage and of its folder.
        build: makes the stage around the model, given `options`.
        after: stages whose weights it starts from.
        images: whether the stage looks at images, or at label maps alone.
        steps: length; 0 leaves the stage out.
        learning_rate: peak.
        seed: of the samples.
        share: of the minutes of a command that trains by the clock.
        weights: of its losses, by name.
        options: further arguments of `build`.
    """

    name: str
    build: Callable[..., Stage]
    after: tuple[str, ...]
    images: bool = True
    steps: int = 0
    learning_rate: float = 0.0
    seed: int = 0
    share: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, float | bool] = field(default_factory=dict)

    def make(self, model: PseudoHealthyModel) -> Stage:
        """Build the stage around the model."""
        return self.build(model, **self.options)


def _joint(model: PseudoHealthyModel, deformed_share: float) -> Stage:
    return RestorationStage(model, extractor_share=0.85, deformed_share=deformed_share)


SWITCHES = {"corrupt", "one_hot"}
"""Options that are true or false."""

_DRM = ("anatomy", "restoration", "disentangle")
LINES: tuple[StagePlan, ...] = (
    StagePlan("anatomy", AnatomyStage, after=()),
    StagePlan("restoration", RestorationStage, after=()),
    StagePlan("disentangle", DisentangleStage, after=("anatomy", "restoration")),
    StagePlan("edges", EdgeStage, after=("restoration", "disentangle"), images=False),
    StagePlan("straight", StraightStage, after=(*_DRM, "edges")),
    StagePlan("joint", _joint, after=(*_DRM, "edges", "straight")),
)
"""Later stages go on from the weights of those they name, in that order. `anatomy` shares nothing
with `restoration`: they may run side by side."""

NETWORK_LINES: tuple[StagePlan, ...] = (
    StagePlan("anatomy", AnatomyStage, after=()),
    StagePlan("routes", RoutesStage, after=("anatomy",)),
)
"""The networks of `train synthetic --minutes`: all that restores learns at once."""

FINETUNE_LINES: tuple[StagePlan, ...] = (StagePlan("finetune", FinetuneStage, after=()),)
"""The list of `train finetune`."""


def read_recipe(
    path: Path | None = None, lines: tuple[StagePlan, ...] = LINES
) -> tuple[StagePlan, ...]:
    """Return the stages with the numbers of the packaged recipe, or of a file laid over it.

    Args:
        path: TOML with what differs: stages, and in them `steps`, `learning_rate`, `seed`,
            `weights` and, where the stage has them, the options `deformed_share`, `corrupt` and
            `one_hot`; None for the packaged recipe.
        lines: stages that are wanted.

    Raises:
        TrainingError: the file cannot be read, names a stage, entry or loss that does not exist,
            or a value is out of its range.
    """
    packaged = Path(str(files("anatomaly.training") / "recipe.toml"))
    recipe = tomllib.loads(packaged.read_text(encoding="utf-8"))
    if path is not None:
        recipe = _lay_over(recipe, _read_toml(path), path)
    return tuple(_fill(line, recipe[line.name]) for line in lines)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: not a recipe (TOML): {error}") from error


def _lay_over(recipe: dict[str, Any], other: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the recipe with the values of the other; the names of both must be known."""
    _refuse_unknown(other, recipe, f"{path}: unknown stages")
    out = dict(recipe)
    for stage, section in other.items():
        if not isinstance(section, dict):
            raise TrainingError(f"{path}: {stage} must be a table: [{stage}]")
        _refuse_unknown(section, recipe[stage], f"{path}: [{stage}] has unknown entries")
        weights = section.get("weights", {})
        if not isinstance(weights, dict):
            raise TrainingError(f"{path}: {stage}.weights must be a table: [{stage}.weights]")
        known = recipe[stage]["weights"]
        _refuse_unknown(weights, known, f"{path}: [{stage}.weights] has unknown losses")
        out[stage] = recipe[stage] | section | {"weights": known | weights}
        _check_values(out[stage], f"{path}: [{stage}]")
    return out


def _refuse_unknown(found: dict[str, Any], known: dict[str, Any], problem: str) -> None:
    if unknown := sorted(set(found) - set(known)):
        raise TrainingError(f"{problem} {unknown}; there are {sorted(known)}")


def _check_values(section: dict[str, Any], where: str) -> None:
    """Refuse numbers that are out of their range."""
    for name in ("steps", "seed"):
        if type(section[name]) is not int or section[name] < 0:
            raise TrainingError(f"{where} {name} must be a whole number >= 0, got {section[name]}")
    if not _is_number(section["learning_rate"]) or not 0 < section["learning_rate"] < 1:
        rate = section["learning_rate"]
        raise TrainingError(f"{where} learning_rate must lie between 0 and 1, got {rate}")
    share = section.get("deformed_share", 0.0)
    if not _is_number(share) or not 0 <= share <= 1:
        raise TrainingError(f"{where} deformed_share must lie in [0, 1], got {share}")
    if not _is_number(section.get("share", 0)) or section.get("share", 0) < 0:
        raise TrainingError(f"{where} share must be >= 0, got {section['share']}")
    for name in SWITCHES & set(section):
        if not isinstance(section[name], bool):
            raise TrainingError(f"{where} {name} must be true or false, got {section[name]}")
    for name, weight in section["weights"].items():
        if not _is_number(weight) or not 0 <= weight < float("inf"):
            raise TrainingError(f"{where} weight of {name} must be >= 0, got {weight}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fill(line: StagePlan, section: dict[str, Any]) -> StagePlan:
    """Return a line of the list with the numbers of its section."""
    options = {k: v for k, v in section.items() if k == "deformed_share" or k in SWITCHES}
    return replace(
        line,
        steps=section["steps"],
        learning_rate=float(section["learning_rate"]),
        seed=section["seed"],
        share=float(section.get("share", 0.0)),
        weights={name: float(weight) for name, weight in section["weights"].items()},
        options=options,
    )


STAGES: tuple[StagePlan, ...] = read_recipe()
"""The packaged recipe."""

NETWORK_STAGES: tuple[StagePlan, ...] = (*STAGES, *read_recipe(None, NETWORK_LINES)[1:])
"""All stages whose weights are networks that restore, later ones over earlier ones."""
