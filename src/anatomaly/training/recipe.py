"""The recipe: which stages there are, in order, and the numbers that each is trained with.

The list is `LINES`; lengths, rates, seeds and weights of losses stand in `recipe.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from anatomaly.errors import TrainingError
from anatomaly.model.pseudo_healthy import PseudoHealthyModel
from anatomaly.training.loop import Stage
from anatomaly.training.restoration import RestorationStage, RoutesStage, StraightStage
from anatomaly.training.stages import AnatomyStage, DisentangleStage, EdgeStage, FinetuneStage


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


OPTIONS = ("deformed_share", "corrupt", "one_hot")
"""Entries of a stage that are arguments of `build`."""

_DRM = ("anatomy", "restoration", "disentangle")
LINES: tuple[StagePlan, ...] = (
    StagePlan("anatomy", AnatomyStage, after=()),
    StagePlan("restoration", RestorationStage, after=()),
    StagePlan("disentangle", DisentangleStage, after=("anatomy", "restoration")),
    StagePlan("edges", EdgeStage, after=("restoration", "disentangle"), images=False),
    StagePlan("straight", StraightStage, after=(*_DRM, "edges")),
    StagePlan(
        "joint",
        RestorationStage,
        after=(*_DRM, "edges", "straight"),
        options={"extractor_share": 0.85},
    ),
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
    packaged = files("anatomaly.training") / "recipe.toml"
    recipe = tomllib.loads(packaged.read_text(encoding="utf-8"))
    if path is not None:
        try:
            changes = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(f"{path}: not a recipe (TOML): {error}") from error
        recipe = _lay_over(recipe, changes, path)
    return tuple(_fill(line, recipe[line.name]) for line in lines)


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


def _refuse_unknown(names: Iterable[str], known: Iterable[str], problem: str) -> None:
    if unknown := sorted(set(names) - set(known)):
        raise TrainingError(f"{problem} {unknown}; there are {sorted(known)}")


def _check_values(section: dict[str, Any], where: str) -> None:
    """Refuse numbers that are out of their range."""
    named_weights = {f"weight of {name}": value for name, value in section["weights"].items()}
    for name, value in (section | named_weights).items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name in ("steps", "seed"):
            fits, rule = type(value) is int and value >= 0, "be a whole number >= 0"
        elif name == "learning_rate":
            fits, rule = number and 0 < value < 1, "lie between 0 and 1"
        elif name == "deformed_share":
            fits, rule = number and 0 <= value <= 1, "lie in [0, 1]"
        elif name in ("corrupt", "one_hot"):
            fits, rule = isinstance(value, bool), "be true or false"
        else:
            fits, rule = name == "weights" or (number and 0 <= value < float("inf")), "be >= 0"
        if not fits:
            raise TrainingError(f"{where} {name} must {rule}, got {value}")


def _fill(line: StagePlan, section: dict[str, Any]) -> StagePlan:
    """Return a line of the list with the numbers of its section."""
    numbers = {name: value for name, value in section.items() if name not in OPTIONS}
    options = {name: value for name, value in section.items() if name in OPTIONS}
    return replace(line, **numbers, options={**line.options, **options})


STAGES: tuple[StagePlan, ...] = read_recipe()
"""The packaged recipe."""

NETWORK_STAGES: tuple[StagePlan, ...] = (*STAGES, *read_recipe(None, NETWORK_LINES)[1:])
"""All stages whose weights are networks that restore, later ones over earlier ones."""
