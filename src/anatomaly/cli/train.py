"""`anatomaly train`: how weights are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anatomaly.cli.progress import Display
from anatomaly.config import DeviceOption
from anatomaly.errors import AnatomalyError, ConfigError

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
            help="Run folder: checkpoints, loss curve, and at the end the weights.",
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            envvar="ANATOMALY_DATA",
            exists=True,
            file_okay=False,
            show_default=False,
            help="Folder with label maps, healthy scans and lesion shapes.",
        ),
    ],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of each stage.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Decides everything that is random.")] = 0,
    device: Annotated[DeviceOption, typer.Option(help="Where the networks run.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: torch's choice.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw samples.")] = 1,
) -> None:
    """Train on synthetic pairs and healthy scans; the same command goes on after a kill.

    - `anatomaly train synthetic -o runs/first --data DATA`
    """
    from anatomaly.training.synthetic import SyntheticTrainingConfig, train_synthetic

    try:
        config = SyntheticTrainingConfig(
            output=output,
            data=data,
            steps=steps,
            seed=seed,
            device=device,
            threads=threads,
            workers=workers,
        )
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    with Display(1, verbose=True) as display:
        display.start_scan(output.name)
        try:
            weights = train_synthetic(config)
        except AnatomalyError as error:
            display.line(f"{type(error).__name__}: {error}", style="red")
            raise typer.Exit(1) from error
        display.line(f"weights: {weights}", style="green")
