"""The options that several `anatomaly train` commands share, and what they show while they work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from anatomaly.cli.exit import exit_on_error
from anatomaly.cli.progress import Display
from anatomaly.types import TrainedEdges

if TYPE_CHECKING:
    from anatomaly.training.loop import LoopConfig, Progress

SECONDS_BETWEEN_LINES = 30.0

SHAPES = "Lesion shapes, masks in MNI space, in folders stroke/ and ms/"

speed = partial(typer.Option, rich_help_panel="Speed")
course = partial(typer.Option, rich_help_panel="Course")
optional_course = partial(course, show_default=False)
data = partial(typer.Option, rich_help_panel="Data")
data_folder = partial(data, exists=True, file_okay=False, show_default=False)

Run = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="RUN",
        show_default=False,
        help="Folder of the run: cache, checkpoints, loss curves.",
    ),
]
Lesions = Annotated[Path, data_folder(help=f"{SHAPES}.")]
OptionalLesions = Annotated[
    Path | None, data_folder(help=f"{SHAPES}; without them lesions are drawn.")
]
Recipe = Annotated[
    Path | None,
    optional_course(
        exists=True,
        dir_okay=False,
        help="TOML with what differs from the recipe: steps, rates, weights of losses.",
    ),
]
Edges = Annotated[
    TrainedEdges,
    course(
        help="Kind that anatomy is restored from: `canny`, the paper's, or `oriented`; `both` "
        "trains a restorer for each, with --minutes or --export."
    ),
]
Seed = Annotated[int, course(min=0, help="Of the samples: another one to go on from weights.")]
ValidateEvery = Annotated[
    int, course(min=0, help="Steps between validations on the people held out.")
]
Patience = Annotated[
    int,
    course(min=0, help="End a stage after so many validations without a lower loss; 0 never does."),
]
Device = Annotated[str, speed(help="Torch device: cpu, cuda, cuda:1, mps.")]


@dataclass(frozen=True)
class CourseOptions:
    """What is trained, for how long, and from where; named as the fields of `RunConfig`."""

    start_from: Annotated[
        str | None,
        optional_course(
            metavar="WEIGHTS", help="Go on from weights: `default`, a bundled name, or a folder."
        ),
    ] = None
    recipe: Recipe = None
    steps: Annotated[
        list[str] | None,
        optional_course(metavar="STAGE=N", help="Length of a stage; may be repeated."),
    ] = None
    only: Annotated[
        list[str] | None,
        optional_course(metavar="STAGE", help="Train this stage alone; may be repeated."),
    ] = None
    seed: Seed = 0
    edges: Edges = "oriented"
    patch: Annotated[
        tuple[int, int, int],
        speed(
            metavar="I J K",
            help="Sides of a sample in voxels, multiples of 16; a GPU likes 96 112 96.",
        ),
    ] = (80, 80, 80)

    def settings(self) -> dict[str, Any]:
        """Return the fields of `RunConfig`."""
        steps = dict(map(parse_steps, self.steps or ()))
        return asdict(self) | {"steps": steps, "only": tuple(self.only or ())}


@dataclass(frozen=True)
class LoopOptions:
    """How fast, on one device; named as the fields of `LoopConfig`."""

    batch: Annotated[int, speed(min=1, help="Pairs a step, over all devices.")] = 1
    workers: Annotated[int, speed(min=0, help="Processes that draw samples.")] = 1
    threads: Annotated[int, speed(min=1, help="CPU threads of the networks.")] = 1
    precision: Annotated[Literal["bf16", "fp32"], speed(help="Of the networks.")] = "bf16"
    device: Device = "cpu"

    def config(self, steps: int = 0) -> LoopConfig:
        """Return how the loop is told; steps of 0 are left to the recipe."""
        from anatomaly.training.loop import LoopConfig

        return LoopConfig(steps, **asdict(self))


@dataclass(frozen=True)
class DistributedLoopOptions(LoopOptions):
    """How fast, on any number of devices."""

    devices: Annotated[int, speed(min=1, help="Devices on each node, one process each (DDP).")] = 1
    nodes: Annotated[
        int, speed(min=1, help="Machines, started by torchrun or SLURM; all see RUN.")
    ] = 1
    processes: Annotated[
        int, speed(min=1, help="Processes that share each device, where one does not fill it.")
    ] = 1


@dataclass(frozen=True)
class CompleteOptions:
    """What one command from people to weights is told; named as the fields of `CompleteConfig`."""

    minutes: Annotated[
        float | None,
        optional_course(
            min=0.1,
            help="Train all from people to weights in so many minutes, by the shares of the "
            "recipe.",
        ),
    ] = None
    export: Annotated[
        Path | None,
        course(
            metavar="FOLDER",
            show_default="RUN/(name of RUN)",
            help="Train the scorer too and write weights with their card here; with --minutes "
            "always.",
        ),
    ] = None
    producers: Annotated[
        int, speed(min=1, help="Processes that draw fresh brains while the scorer learns.")
    ] = 1
    brains: Annotated[
        int,
        speed(
            min=2, help="Newest brains that the scorer learns from, 25 MB each; 2 · producers · n."
        ),
    ] = 32

    def are_given(self) -> bool:
        """Whether everything is trained, rather than the networks alone."""
        return self.minutes is not None or self.export is not None

    def settings(self, run: Path) -> dict[str, Any]:
        """Return the fields of `CompleteConfig`."""
        export = self.export or run / run.resolve().name
        return asdict(self) | {"minutes": self.minutes or 0.0, "export": export}


@dataclass(frozen=True)
class ValidatedLoopOptions(DistributedLoopOptions):
    """How fast, and when people who are held out end it."""

    validate_every: ValidateEvery = 200
    patience: Patience = 10


def parse_steps(text: str) -> tuple[str, int]:
    """Read one `STAGE=N`.

    >>> parse_steps("joint=9000")
    ('joint', 9000)
    """
    stage, _, count = text.partition("=")
    if not stage or not count.isdecimal() or int(count) < 1:
        raise typer.BadParameter(f"--steps {text}: expected STAGE=N, for example joint=9000")
    return stage, int(count)


def run_training(folder: Path, train: Callable[[Callable[[str], None], Reporter], object]) -> None:
    """Show a training into a folder while it runs; leave with 1 if it failed."""
    with Display(1, verbose=True) as display:
        display.start_scan(folder.name)
        with exit_on_error(say=partial(display.line, style="red")):
            result = train(display.note, Reporter(display))
        if is_first_process():
            display.line(f"done: {result if isinstance(result, Path) else folder}", style="green")


def is_first_process() -> bool:
    """Whether this is the process that speaks, of those that Fabric, torchrun or SLURM started."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


class Reporter:
    """Writes a line about the losses every half minute, and at the first step of a stage."""

    def __init__(self, display: Display) -> None:
        self.display, self.stage, self.written = display, "", -SECONDS_BETWEEN_LINES

    def __call__(self, stage: str, progress: Progress) -> None:
        """Take the progress of a stage."""
        now = time.monotonic()
        if stage == self.stage and now - self.written < SECONDS_BETWEEN_LINES:
            return
        self.stage, self.written = stage, now
        losses = ", ".join(f"{name} {value:.4f}" for name, value in progress.losses.items())
        self.display.note(f"{time.strftime('%H:%M:%S')} {stage} step {progress.step}: {losses}")
