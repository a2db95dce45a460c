"""The program `anatomaly`: joins the commands."""

from __future__ import annotations

from typing import Annotated

import typer

from anatomaly import __version__
from anatomaly.cli.benchmark import benchmark
from anatomaly.cli.calibrate import calibrate
from anatomaly.cli.datasets import datasets_app
from anatomaly.cli.demo import demo
from anatomaly.cli.detect import detect
from anatomaly.cli.experiments import experiments_app
from anatomaly.cli.fill import fill
from anatomaly.cli.info import info
from anatomaly.cli.report import report
from anatomaly.cli.surroundings import surroundings
from anatomaly.cli.tabulate import tabulate
from anatomaly.cli.train import train_app

app = typer.Typer(
    name="anatomaly",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find what is abnormal in a brain MRI: one raw scan in, the anomaly in its own space out."
    "\n\nResearch software, not a medical device.",
    epilog="Start with `anatomaly demo`, then `anatomaly detect scan.nii.gz -o results`.",
)
for _command in (detect, tabulate, report, fill, calibrate, demo, info, benchmark):
    app.command()(_command)
app.add_typer(train_app, name="train")
app.add_typer(experiments_app, name="experiments")
app.add_typer(datasets_app, name="datasets")


def _print_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        print(f"anatomaly {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Carry the options of the program itself."""


def main() -> None:
    """Run the command line.

    Exits with 0 (success), 1 (a scan failed), 2 (wrong usage) or 128 + N (stopped by signal N).
    """
    with surroundings():
        app()


if __name__ == "__main__":
    main()
