"""`anatomaly train cohort` and `anatomaly train finetune`: a user's own healthy people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anatomaly.cli import train_options as o
from anatomaly.types import SEQUENCES, Sequence

Bids = Annotated[
    Path,
    typer.Argument(
        metavar="BIDS_DIR",
        exists=True,
        file_okay=False,
        show_default=False,
        help="Healthy people: `sub-*/[ses-*/]anat/*_T1w.nii.gz`, `*_T2w.nii.gz`, `*_FLAIR.nii.gz`.",
    ),
]
Sequences = Annotated[
    list[str] | None,
    typer.Option(
        "--sequence",
        metavar="T1w|T2w|FLAIR",
        show_default=False,
        rich_help_panel=o.DATA,
        help="Use this sequence alone; may be repeated.",
    ),
]


def cohort(
    bids: Bids,
    output: o.Run,
    lesions: o.OptionalLesions = None,
    sequences: Sequences = None,
    held_out_share: o.HeldOutShare = 0.1,
    start_from: o.StartFrom = None,
    recipe: o.Recipe = None,
    steps: o.Steps = None,
    only: o.Only = None,
    seed: o.Seed = 0,
    validate_every: o.ValidateEvery = 200,
    patience: o.Patience = 10,
    batch: o.Batch = 1,
    workers: o.Workers = 1,
    threads: o.Threads = 1,
    precision: o.Precision = "bf16",
    device: o.Device = "cpu",
    devices: o.Devices = 1,
    nodes: o.Nodes = 1,
) -> None:
    """Train on your own healthy people, one sequence or several; goes on after a kill.

    - `anatomaly train cohort bids -o runs/own --lesions shapes`
    - `anatomaly train cohort bids -o runs/own --device cuda --devices 4 --batch 8`
    """
    from anatomaly.training.cohort_run import CohortConfig, train_cohort
    from anatomaly.training.loop import LoopConfig

    config = CohortConfig(
        output=output,
        bids=bids,
        lesions=lesions,
        sequences=parse_sequences(sequences),
        held_out_share=held_out_share,
        start_from=start_from,
        recipe=recipe,
        steps=dict(map(o.parse_steps, steps or ())),
        only=tuple(only or ()),
        seed=seed,
        loop=LoopConfig(
            steps=0,
            batch=batch,
            workers=workers,
            threads=threads,
            precision=precision,
            device=device,
            devices=devices,
            nodes=nodes,
            validate_every=validate_every,
            patience=patience,
        ),
    )
    o.run_training(output.name, output, lambda say, report: train_cohort(config, say, report))


def finetune(
    weights: Annotated[
        str, typer.Argument(help="To go on from: `default`, a bundled name, or a folder.")
    ],
    bids: Annotated[
        Path,
        typer.Option(
            "--cohort",
            metavar="BIDS_DIR",
            exists=True,
            file_okay=False,
            show_default=False,
            rich_help_panel=o.DATA,
            help="Healthy people of the new sequence or scanner; a few are enough.",
        ),
    ],
    output: o.Run,
    lesions: o.OptionalLesions = None,
    sequences: Sequences = None,
    held_out_share: o.HeldOutShare = 0.1,
    recipe: o.Recipe = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, rich_help_panel=o.COURSE, help="Length."),
    ] = None,
    seed: o.Seed = 0,
    validate_every: o.ValidateEvery = 50,
    patience: o.Patience = 5,
    batch: o.Batch = 1,
    workers: o.Workers = 1,
    threads: o.Threads = 1,
    precision: o.Precision = "bf16",
    device: o.Device = "cpu",
    devices: o.Devices = 1,
    nodes: o.Nodes = 1,
) -> None:
    """Adapt modality extractor and combiner to your scanner; the anatomy networks stay frozen.

    - `anatomaly train finetune default --cohort bids -o runs/scanner`
    """
    from anatomaly.training.finetune import FinetuneConfig
    from anatomaly.training.finetune import finetune as adapt
    from anatomaly.training.loop import LoopConfig

    config = FinetuneConfig(
        output=output,
        weights=weights,
        bids=bids,
        lesions=lesions,
        sequences=parse_sequences(sequences),
        held_out_share=held_out_share,
        recipe=recipe,
        steps={"finetune": steps} if steps else {},
        seed=seed,
        loop=LoopConfig(
            steps=0,
            batch=batch,
            workers=workers,
            threads=threads,
            precision=precision,
            device=device,
            devices=devices,
            nodes=nodes,
            validate_every=validate_every,
            patience=patience,
        ),
    )
    o.run_training(output.name, output, lambda say, report: adapt(config, say, report))


def parse_sequences(words: list[str] | None) -> tuple[Sequence, ...]:
    """Return the sequences that were named, all without any.

    >>> parse_sequences(["T2w", "T1w"])
    ('T1w', 'T2w')
    """
    if unknown := set(words or ()) - set(SEQUENCES):
        raise typer.BadParameter(f"--sequence {sorted(unknown)}: choose among {SEQUENCES}")
    return tuple(s for s in SEQUENCES if not words or s in words)
