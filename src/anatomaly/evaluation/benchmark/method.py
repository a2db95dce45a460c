"""What a method is: fitted to healthy images, it gives a prepared image a score map.

A method is a file of `evaluation/baselines` that holds a `METHOD`. Nothing else has to be touched:
the name of the file is the name of the method.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch.utils.data import Dataset

from anatomaly.errors import ConfigError
from anatomaly.evaluation import baselines
from anatomaly.training.loop import LoopConfig, Stage, train_stage
from anatomaly.types import FloatArray, MrSequence
from anatomaly.volume import PreparedImage

CHECKPOINT_SECONDS = 20.0
"""Of a training: what a killed one has to repeat at most."""


@dataclass(frozen=True)
class Budget:
    """What every method may spend on training, the same for all.

    Attributes:
        steps: optimiser steps, shared out where a method trains in several parts.
        batch: slices a step.
        learning_rate: peak.
        threads: CPU threads.
        device: torch device.
    """

    steps: int = 300
    batch: int = 16
    learning_rate: float = 1e-3
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "threads"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ConfigError(f"budget: {name} must be 1 or more, got {getattr(self, name)}")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"budget: learning_rate must lie in (0, 1), got {self.learning_rate}")


@dataclass(frozen=True)
class Trainer:
    """Trains through the package's one loop, each part of a method in a folder of its own.

    Attributes:
        folder: checkpoints and losses; a killed training goes on from there at the exact step.
        budget: of the whole method.
    """

    folder: Path
    budget: Budget

    def train(
        self, part: str, stage: Stage, samples: Dataset[Any], *, share: float = 1.0, batch: int = 0
    ) -> None:
        """Train one part with its share of the steps.

        Args:
            part: name of its folder.
            stage: what is trained, and its losses.
            samples: sample i depends on i alone.
            share: of the budget's steps, in (0, 1].
            batch: in the place of the budget's; a network of whole volumes takes 1.

        Raises:
            TrainingError: Lightning is missing, or a loss is not finite.
        """
        budget = self.budget
        config = LoopConfig(
            steps=max(1, round(budget.steps * share)),
            batch=batch or budget.batch,
            learning_rate=budget.learning_rate,
            workers=0,
            threads=budget.threads,
            precision="fp32",
            device=budget.device,
            checkpoint_seconds=CHECKPOINT_SECONDS,
        )
        train_stage(stage, samples, self.folder / part, config)


class Method(Protocol):
    """One method for one sequence."""

    @property
    def parameters_count(self) -> int:
        """Numbers that were learnt."""

    def fit(self, healthy: Sequence[PreparedImage], trainer: Trainer) -> None:
        """Learn from healthy images of one sequence; called before `score`, also by a restart."""

    def score(self, prepared: PreparedImage) -> FloatArray:
        """Return the score map, (I, J, K) float32 >= 0, higher is more abnormal, 0 outside."""


@dataclass(frozen=True)
class MethodCard:
    """A method in words, and how it is made.

    Attributes:
        title: in a table.
        source: the paper that it is written from.
        differs: what is not as in the paper.
        build: takes sequence and seed, returns the method untrained; imports heavy libraries.
        trained: False where weights come from elsewhere, so that the budget does not bind it.
    """

    title: str
    source: str
    differs: str
    build: Callable[[MrSequence, int], Method]
    trained: bool = True


def method_names() -> list[str]:
    """Return the names of all methods, in alphabetical order, without importing one."""
    return sorted(module.name for module in pkgutil.iter_modules(baselines.__path__))


def find_method(name: str) -> MethodCard:
    """Return the method of a name.

    Raises:
        ConfigError: there is none, or its file holds no `METHOD`.

    >>> find_method("intensity_threshold").title
    'intensity threshold'
    """
    if name not in method_names():
        raise ConfigError(f"no method {name}; there are {', '.join(method_names())}")
    card = getattr(importlib.import_module(f"{baselines.__name__}.{name}"), "METHOD", None)
    if not isinstance(card, MethodCard):
        raise ConfigError(f"{baselines.__name__}.{name}: expected METHOD = MethodCard(...)")
    return card
