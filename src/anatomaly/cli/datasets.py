"""`anatomaly datasets`: which test sets there are, and whether a folder holds one as shipped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from anatomaly.cli.as_json import Json, json_document
from anatomaly.cli.exit import exit_on_error
from anatomaly.cli.progress import make_console

if TYPE_CHECKING:
    from anatomaly.evaluation.datasets.check import Report
    from anatomaly.evaluation.datasets.dataset import Problem

datasets_app = typer.Typer()
SHOWN = 3
"""Names that are shown of each problem, unless all are asked for."""


@datasets_app.callback(invoke_without_command=True)
def list_datasets(context: typer.Context, as_json: Json = False) -> None:
    """List test sets: what each holds, its licence, where to apply; check a folder of yours.

    Nothing is downloaded.

    - `anatomaly datasets`
    - `anatomaly datasets --json`
    - `anatomaly datasets check brats-gli data`
    """
    if context.invoked_subcommand is not None:
        return
    from anatomaly.evaluation.datasets.catalogue import all_datasets

    table = Table(title="Test sets", title_justify="left", show_lines=True)
    table.add_column("name", no_wrap=True)
    for column in ("what it holds", "licence", "where to get it"):
        table.add_column(column, overflow="fold")
    datasets = all_datasets().values()
    for dataset in datasets:
        about = f"{dataset.title}: {dataset.holds}"
        table.add_row(*map(escape, (dataset.name, about, dataset.licence, dataset.apply)))
    with json_document(as_json) as said:
        names = ("name", "title", "holds", "licence", "apply")
        said["datasets"] = [{name: getattr(each, name) for name in names} for each in datasets]
        make_console(140).print(table)


def check(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="One of those that `anatomaly datasets` lists.")
    ],
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            exists=True,
            file_okay=False,
            help="As the provider ships it, unpacked.",
        ),
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="Names, headers and doubled files alone.")
    ] = False,
    show_all: Annotated[
        bool, typer.Option("--all", help="Name every patient of a problem, not the first three.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a folder holds of a test set, what is missing, and what looks wrong.

    Exits with 1 if nothing was found or something looks wrong.

    - `anatomaly datasets check mslub data`
    """
    from anatomaly.evaluation.datasets.catalogue import find_dataset
    from anatomaly.evaluation.datasets.check import check_dataset

    with json_document(as_json) as said:
        console = Console(stderr=True, highlight=False)
        with exit_on_error():
            dataset = find_dataset(name)
            with console.status("reading") as status:
                report = check_dataset(
                    name,
                    folder,
                    voxels=not quick,
                    progress=lambda patient: status.update(escape(patient)),
                )
        problems = [problem._asdict() for problem in report.problems]
        said.update(asdict(report), dataset=name, problems=problems, is_sound=report.is_sound)
        printed = make_console(140)
        printed.print(_summary(dataset.title, report))
        for kind, title in (("missing", "Missing"), ("wrong", "Looks wrong")):
            found = [problem for problem in report.problems if problem.kind == kind]
            if found:
                printed.print(_problems(title, found, len(found) if show_all else SHOWN))
    if not report.is_sound:
        raise typer.Exit(1)


datasets_app.command("check")(check)


def _summary(title: str, report: Report) -> Table:
    """Return what was found."""
    scans = ", ".join(f"{count} {sequence}" for sequence, count in report.scans.items())
    rows = {
        "people": str(report.people),
        "patients (people at one time)": str(report.patients),
        "scans": scans or "none",
        "with label": str(report.labelled),
        "healthy": str(report.healthy),
    }
    if report.lesion_ml:
        volumes = list(report.lesion_ml.values())
        rows["lesions"] = (
            f"{min(volumes):.1f} to {max(volumes):.1f} mL, median {median(volumes):.1f} mL"
        )
    table = Table(title=escape(title), title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _problems(title: str, problems: Iterable[Problem], most: int) -> Table:
    """Return problems, the same ones in a row."""
    places: dict[str, list[str]] = {}
    for problem in problems:
        places.setdefault(problem.what, []).append(problem.where)
    table = Table(title=title, title_justify="left")
    table.add_column("what", overflow="fold")
    table.add_column("count", justify="right")
    table.add_column("where", overflow="fold")
    for what, where in places.items():
        more = ", …" if len(where) > most else ""
        table.add_row(escape(what), str(len(where)), escape(", ".join(where[:most]) + more))
    return table
