"""`anatomaly train`: how weights are made."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from anatomaly.cli.progress import Display
from anatomaly.errors import AnatomalyError

if TYPE_CHECKING:
    from anatomaly.training.loop import Progress

SECONDS_BETWEEN_LINES = 30.0

train_app = typer.Typer(no_args_is_help=True, help="Make weights of your own.")


@train_app.callback()
def _train() -> None:
    """Make weights of your own."""


@train_app.command()
def synthetic(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="RUN",
            show_default=False,
            help="Folder of the run: cache, checkpoints, loss curves.",
        ),
    ],
    lesions: Annotated[
        Path,
        typer.Option(
            exists=True,
            file_okay=False,
            show_default=False,
            help="Lesion shapes, masks in MNI space, in folders stroke/ and ms/.",
        ),
    ],
    label_maps: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            show_default=False,
            help="Whole-head label maps (FreeSurfer numbers).",
        ),
    ] = None,
    cohort: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            show_default=False,
            help="Healthy *_T1w.nii.gz, each with a *_dlmuse.nii.gz parcellation (MUSE numbers).",
        ),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            show_default=False,
            help="Go on from weights: `default`, a bundled name, or a folder.",
        ),
    ] = None,
    steps: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE=N", show_default=False, help="Length of a stage; may be repeated."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STAGE", show_default=False, help="Train this stage alone; may be repeated."
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            show_default=False,
            help="TOML with what differs from the recipe: steps, rates, weights of losses.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the samples: another one to go on from weights.")
    ] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Pairs a step.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw samples.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the networks.")] = 1,
    precision: Annotated[Literal["bf16", "fp32"], typer.Option(help="Of the networks.")] = "bf16",
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1, mps.")] = "cpu",
) -> None:
    """Train on synthetic pairs and healthy scans; the same command goes on after a kill.

    - `anatomaly train synthetic -o runs/first --lesions shapes --label-maps labels`
    - `anatomaly train synthetic -o runs/first --lesions shapes --cohort healthy --steps joint=9000`
    """
    from anatomaly.training.loop import LoopConfig
    from anatomaly.training.synthetic import SyntheticConfig, train_synthetic

    config = SyntheticConfig(
        output=output,
        label_maps=label_maps,
        cohort=cohort,
        lesions=lesions,
        start_from=start_from,
        recipe=recipe,
        steps=dict(map(parse_steps, steps or ())),
        only=tuple(only or ()),
        seed=seed,
        loop=LoopConfig(
            steps=0,
            batch=batch,
            workers=workers,
            threads=threads,
            precision=precision,
            device=device,
        ),
    )
    with Display(1, verbose=True) as display:
        display.start_scan(output.name)
        try:
            train_synthetic(config, display.note, _Reporter(display))
        except AnatomalyError as error:
            display.line(f"{type(error).__name__}: {error}", style="red")
            raise typer.Exit(1) from error
        display.line(f"done: {output}", style="green")


@train_app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Weights; its name is their name."),
    ],
    threshold: Annotated[
        list[str],
        typer.Option(
            metavar="SEQUENCE=SCORE",
            help="Default threshold of T1w, T2w and FLAIR, from healthy scans; once for each.",
        ),
    ],
    start_from: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            show_default=False,
            help="What the run went on from: stages that it did not train come from there.",
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="JSON with further entries of the card."),
    ] = None,
) -> None:
    """Join the stages of a run into weights (fp16 safetensors and a card) for --weights FOLDER.

    - `anatomaly train export runs/first -o my-weights --threshold T1w=0.05 --threshold T2w=0.06
      --threshold FLAIR=0.06`
    """
    import json

    from anatomaly.training.export import assemble, export_weights
    from anatomaly.types import SEQUENCES

    thresholds = dict(map(parse_threshold, threshold))
    if set(thresholds) != set(SEQUENCES):
        raise typer.BadParameter(f"--threshold is needed for each of {', '.join(SEQUENCES)}")
    try:
        more = json.loads(card.read_text(encoding="utf-8")) if card else {}
        model, steps = assemble(run, start_from)
        export_weights(model, output, thresholds, **{"steps": steps, **more})
    except (AnatomalyError, json.JSONDecodeError) as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{output}: {', '.join(f'{name} {count} steps' for name, count in steps.items())}")


@train_app.command()
def scorer(
    weights: Annotated[
        Path,
        typer.Argument(help="Folder of the weights, which receives the network."),
    ],
    run: Annotated[
        Path,
        typer.Option(help="Folder of the run, for its people; checkpoints go there."),
    ],
    lesions: Annotated[
        Path,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Lesion shapes, masks in MNI space, in folders stroke/ and ms/.",
        ),
    ],
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of brains to draw and rebuild.")] = 150,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 6000,
    patch: Annotated[int, typer.Option(min=48, help="Side of a patch, voxels; 16 · n.")] = 80,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the brains: another one to go on from weights.")
    ] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Patches a step.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the network.")] = 1,
    precision: Annotated[Literal["bf16", "fp32"], typer.Option(help="Of the network.")] = "bf16",
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1, mps.")] = "cpu",
) -> None:
    """Train the refined score on synthetic lesions; the same command goes on after a kill.

    - `anatomaly train scorer my-weights --run runs/first --lesions shapes`
    """
    from anatomaly.training.loop import LoopConfig
    from anatomaly.training.scorer import SCORER_RATE, ScorerConfig, train_scorer

    loop = LoopConfig(steps, batch, SCORER_RATE, workers, threads, 60.0, precision, device)
    config = ScorerConfig(weights, run, lesions, pairs, seed, (patch,) * 3, loop)
    with Display(1, verbose=True) as display:
        display.start_scan(weights.name)
        report = _Reporter(display)
        try:
            train_scorer(config, display.note, lambda progress: report("scorer", progress))
        except AnatomalyError as error:
            display.line(f"{type(error).__name__}: {error}", style="red")
            raise typer.Exit(1) from error
        display.line(f"done: {weights}", style="green")


@train_app.command()
def calibrate(
    weights: Annotated[
        Path,
        typer.Argument(help="Folder of the weights; its card is updated."),
    ],
    run: Annotated[
        Path,
        typer.Option(help="Folder of the run, for its people."),
    ],
    controls: Annotated[
        Path,
        typer.Option(
            help="Healthy *_T1w.nii.gz with parcellations that training did not see, for the "
            "thresholds.",
        ),
    ],
    count: Annotated[int, typer.Option(min=1, help="Scans a sequence, for the maps.")] = 16,
    controls_count: Annotated[
        int, typer.Option(min=1, help="Scans a sequence, for the thresholds.")
    ] = 8,
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1, mps.")] = "cpu",
) -> None:
    """Measure what healthy people score; thresholds: 1 mL in half of them, 5 mL in 95 %.

    - `anatomaly train calibrate my-weights --run runs/first --controls healthy-others`
    """
    from anatomaly.training.calibration import CalibrationConfig
    from anatomaly.training.calibration import calibrate as measure
    from anatomaly.training.synthetic import prepare_cohort

    try:
        held_out = run / "cache" / "controls"
        prepare_cohort(controls, held_out, typer.echo)
        caches = (run / "cache" / "train", run / "cache" / "labels")
        people = tuple(folder for folder in caches if folder.is_dir())
        config = CalibrationConfig(weights, people, held_out, count, controls_count, device)
        measure(config, typer.echo)
    except AnatomalyError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        raise typer.Exit(1) from error


def parse_threshold(text: str) -> tuple[str, float]:
    """Read one `SEQUENCE=SCORE`.

    >>> parse_threshold("T1w=0.05")
    ('T1w', 0.05)
    """
    sequence, _, score = text.partition("=")
    try:
        return sequence, float(score)
    except ValueError as error:
        raise typer.BadParameter(f"--threshold {text}: expected SEQUENCE=SCORE") from error


def parse_steps(text: str) -> tuple[str, int]:
    """Read one `STAGE=N`.

    >>> parse_steps("joint=9000")
    ('joint', 9000)
    """
    stage, _, count = text.partition("=")
    if not stage or not count.isdecimal() or int(count) < 1:
        raise typer.BadParameter(f"--steps {text}: expected STAGE=N, for example joint=9000")
    return stage, int(count)


class _Reporter:
    """Writes a line about the losses every half minute, and at the first step of a stage."""

    def __init__(self, display: Display) -> None:
        self.display, self.stage, self.written = display, "", -SECONDS_BETWEEN_LINES

    def __call__(self, stage: str, progress: Progress) -> None:
        now = time.monotonic()
        if stage == self.stage and now - self.written < SECONDS_BETWEEN_LINES:
            return
        self.stage, self.written = stage, now
        losses = ", ".join(f"{name} {value:.4f}" for name, value in progress.losses.items())
        self.display.note(f"{time.strftime('%H:%M:%S')} {stage} step {progress.step}: {losses}")
