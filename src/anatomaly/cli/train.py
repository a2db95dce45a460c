"""`anatomaly train`: how weights are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from anatomaly.cli import train_options as o
from anatomaly.cli.exit import exit_on_error
from anatomaly.cli.option_groups import expand_groups
from anatomaly.cli.train_cohort import cohort as cohort_command
from anatomaly.cli.train_cohort import finetune

train_app = typer.Typer(
    no_args_is_help=True,
    help="Make weights of your own.",
    epilog="In this order: `anatomaly train cohort bids -o runs/own` (or `synthetic`), `export`, "
    "`scorer`, `choose`, `calibrate`, then `anatomaly detect --weights FOLDER`.",
)


@train_app.command()
@expand_groups
def synthetic(
    *,
    output: o.Run,
    lesions: o.Lesions,
    label_maps: Annotated[
        Path | None, o.data_folder(help="Whole-head label maps (FreeSurfer numbers).")
    ] = None,
    cohort: Annotated[
        Path | None,
        o.data_folder(
            help="Healthy *_T1w.nii.gz, each with a *_dlmuse.nii.gz parcellation (MUSE numbers)."
        ),
    ] = None,
    course: o.CourseOptions,
    complete: o.CompleteOptions,
    loop: o.DistributedLoopOptions,
) -> None:
    """Train on synthetic pairs and healthy scans; the same command goes on after a kill.

    - `anatomaly train synthetic -o runs/first --lesions shapes --label-maps labels`
    - `anatomaly train synthetic -o runs/first --lesions shapes --cohort healthy --steps joint=9000`
    - `anatomaly train synthetic -o runs/quick --lesions shapes --cohort healthy --device cuda
      --minutes 9 --export my-weights`
    """
    from anatomaly.training.complete import CompleteConfig, train_complete
    from anatomaly.training.synthetic import SyntheticConfig, train_synthetic

    data = {"label_maps": label_maps, "cohort": cohort, "lesions": lesions}
    settings = course.settings() | data | {"output": output, "loop": loop.config()}
    if complete.are_given():
        all_of_it = CompleteConfig(**settings, **complete.settings(output))
        o.run_training(output, partial(train_complete, all_of_it))
    else:
        o.run_training(output, partial(train_synthetic, SyntheticConfig(**settings)))


train_app.command()(cohort_command)
train_app.command()(finetune)


@train_app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Weights; its name is their name."),
    ],
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SEQUENCE=SCORE",
            help="Default threshold of T1w, T2w and FLAIR, from healthy scans; once for each. "
            "Weights of the same networks in FOLDER keep theirs.",
        ),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS",
            show_default=False,
            help="What the run went on from: stages that it did not train come from there.",
        ),
    ] = None,
    edges: o.Edges = "oriented",
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

    from anatomaly.training.export import export_weights, join_stages
    from anatomaly.types import SEQUENCES

    thresholds = dict(map(parse_threshold, threshold)) if threshold else None
    if thresholds is not None and set(thresholds) != set(SEQUENCES):
        raise typer.BadParameter(f"--threshold is needed for each of {', '.join(SEQUENCES)}")
    with exit_on_error(json.JSONDecodeError):
        more = json.loads(card.read_text(encoding="utf-8")) if card else {}
        model, steps = join_stages(run, start_from, edges)
        export_weights(model, output, thresholds, **{"steps": steps, **more})
    typer.echo(f"{output}: {', '.join(f'{name} {count} steps' for name, count in steps.items())}")


@dataclass(frozen=True)
class ScorerLoopOptions(o.LoopOptions):
    """Its samples are patches, and small enough for two a step."""

    batch: Annotated[int, o.speed(min=1, help="Patches a step.")] = 2


@train_app.command()
@expand_groups
def scorer(
    *,
    weights: Annotated[
        Path, typer.Argument(help="Folder of the weights, which receives the network.")
    ],
    run: Annotated[
        Path, typer.Option(help="Folder of the run, for its people; checkpoints go there.")
    ],
    lesions: o.Lesions,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of brains to draw and rebuild.")] = 150,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 6000,
    patch: Annotated[int, typer.Option(min=48, help="Side of a patch, voxels; 16 · n.")] = 64,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the brains: another one to go on from weights.")
    ] = 0,
    rate: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            show_default="0.002",
            help="Peak learning rate; lower it to go on from weights for a short while.",
        ),
    ] = None,
    loop: ScorerLoopOptions,
) -> None:
    """Train the refined score on synthetic lesions; the same command goes on after a kill.

    - `anatomaly train scorer my-weights --run runs/first --lesions shapes`
    """
    from anatomaly.training.scorer import SCORER_RATE, ScorerConfig, train_scorer

    rated = replace(loop.config(steps), learning_rate=rate or SCORER_RATE)
    config = ScorerConfig(weights, run, lesions, pairs, seed, (patch,) * 3, rated)
    o.run_training(
        weights, lambda say, report: train_scorer(config, say, partial(report, "scorer"))
    )


@train_app.command()
def choose(
    weights: Annotated[Path, typer.Argument(help="Folder of the weights; its card is updated.")],
    run: Annotated[Path, typer.Option(help="Folder of the run; prepared people are kept there.")],
    controls: Annotated[
        Path,
        typer.Option(help="Healthy *_T1w.nii.gz with parcellations that training did not see."),
    ],
    lesions: o.Lesions,
    count: Annotated[
        int, typer.Option(min=1, help="Drawn scans a sequence; a dozen choose by chance.")
    ] = 21,
    device: o.Device = "cpu",
) -> None:
    """Find the route, contrast and score that rank drawn lesions best, for each sequence.

    Thresholds belong to a method: `anatomaly train calibrate` comes next.

    - `anatomaly train choose my-weights --run runs/first --controls others --lesions shapes`
    """
    from anatomaly.training.choose import ChoiceConfig, choose_methods
    from anatomaly.training.synthetic import prepare_cohort

    with exit_on_error():
        held_out = run / "cache" / "controls"
        prepare_cohort(controls, held_out, typer.echo)
        config = ChoiceConfig(weights, held_out, _trained_people(run), lesions, count, device)
        choose_methods(config, typer.echo)


@train_app.command()
def calibrate(
    weights: Annotated[Path, typer.Argument(help="Folder of the weights; its card is updated.")],
    run: Annotated[Path, typer.Option(help="Folder of the run, for its people.")],
    controls: Annotated[
        Path,
        typer.Option(
            help="Healthy *_T1w.nii.gz with parcellations that training did not see, for the "
            "thresholds."
        ),
    ],
    count: Annotated[int, typer.Option(min=1, help="Scans a sequence, for the maps.")] = 16,
    controls_count: Annotated[
        int, typer.Option(min=1, help="Scans a sequence, for the thresholds.")
    ] = 8,
    lesions: o.OptionalLesions = None,
    device: o.Device = "cpu",
) -> None:
    """Measure what healthy people score; thresholds: 1 mL in half of them, 5 mL in 95 %.

    With lesion shapes the refined score is made a probability first.

    - `anatomaly train calibrate my-weights --run runs/first --controls healthy-others`
    """
    from anatomaly.training.calibration import CalibrationConfig
    from anatomaly.training.calibration import calibrate as measure
    from anatomaly.training.synthetic import prepare_cohort

    with exit_on_error():
        held_out = run / "cache" / "controls"
        prepare_cohort(controls, held_out, typer.echo)
        people = _trained_people(run)
        config = CalibrationConfig(
            weights, people, held_out, count, controls_count, lesions, device
        )
        measure(config, typer.echo)


def _trained_people(run: Path) -> tuple[Path, ...]:
    """Return the caches of the people that a run trained on."""
    caches = (run / "cache" / "train", run / "cache" / "labels")
    return tuple(folder for folder in caches if folder.is_dir())


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
