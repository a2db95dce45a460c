"""`anatomaly benchmark`: methods × data sets × sequences to one table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from anatomaly.cli.as_json import Json, json_document
from anatomaly.cli.exit import exit_on_error
from anatomaly.cli.progress import make_console

if TYPE_CHECKING:
    from anatomaly.evaluation.benchmark.table import Row


def _table_file(said: str) -> Any:
    """Return the option for the table of another run."""
    return typer.Option(metavar="CSV", exists=True, dir_okay=False, help=said)


def benchmark(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG", help="`phantoms`, `phantoms-all`, or a TOML file of your own."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="Folder; a killed run goes on.")
    ] = Path("benchmark_output"),
    workers: Annotated[
        int, typer.Option(min=1, help="Methods measured side by side, a process each.")
    ] = 1,
    compare_with: Annotated[
        Path | None,
        _table_file(
            "Table of another run: exit with 1 where AP differs by more than the tolerance."
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        _table_file(
            "Table of an earlier run of this configuration: its rows are not measured again."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train and measure methods the same way, labels closed until thresholds are fixed.

    Writes `table.csv`, `table.md`, `table.png` and `scans.csv`. Exits with 1 if a method failed.

    - `anatomaly benchmark phantoms -o bench` (nothing but this package is needed)
    - `anatomaly benchmark phantoms-all --keep published.csv` (measures what it lacks)
    """
    from anatomaly.evaluation.benchmark.config import read_config
    from anatomaly.evaluation.benchmark.earlier import read_table
    from anatomaly.evaluation.benchmark.run import run_benchmark
    from anatomaly.evaluation.benchmark.write import compare_tables

    console = Console(stderr=True, highlight=False)
    command = " ".join(["anatomaly", *sys.argv[1:]])
    with json_document(as_json) as said:
        with exit_on_error():
            plan = read_config(config)
            earlier = read_table(keep) if keep else []
            rows = run_benchmark(
                plan, output, workers, lambda line: console.print(escape(line)), command, earlier
            )
            differences = []
            if compare_with is not None:
                differences = compare_tables(compare_with, rows, plan.tolerance_ap)
        said.update(rows=rows, table=output / "table.csv", differences=differences)
        _print(rows)
        typer.echo(f"Tables: {output / 'table.md'}")
    for line in differences:
        typer.echo(f"differs: {line}", err=True)
    if differences or any(row["status"] != "ok" for row in rows):
        raise typer.Exit(1)


def _print(rows: list[Row]) -> None:
    """Print the means over all scans."""
    table = Table(title="Means over people", title_justify="left")
    for name in ("data set", "sequence", "method"):
        table.add_column(name)
    for name in ("AP", "Dice", "Dice, oracle", "F1", "s a scan"):
        table.add_column(name, justify="right")
    for row in (row for row in rows if row["stratum"] == "all"):
        who = [row["dataset"], row["sequence"], row["method"]]
        if row["status"] != "ok":
            table.add_row(*who, escape(row["status"]))
            continue
        names = ("ap", "dice", "dice_oracle", "f1", "seconds")
        table.add_row(*who, *(f"{row[name]:.3f}" for name in names))
    make_console(140).print(table)
