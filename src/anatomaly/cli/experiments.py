"""`anatomaly experiments`: what the method claims, measured; one command an experiment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from anatomaly.cli.as_json import Json, json_document
from anatomaly.cli.exit import exit_on_error
from anatomaly.cli.options import CONFIG_OPTIONS
from anatomaly.cli.progress import make_console
from anatomaly.types import EdgeOption

EXPERIMENTS = {
    "disentanglement": "Tissue maps of one person from T1w, T2w and FLAIR: equal, and one-hot?",
    "edges": "Anatomy rebuilt from edges alone: how well, and with a leak of intensities?",
    "modality": "Modality codes before and after reconstruction, with and without reuse.",
    "deformation": "Enlarged ventricles and mass effect: kept in the anatomy, seen in the score?",
    "thresholds": "The constants .29, .48 and .72 as centres, as cuts, or fitted to each scan.",
    "new-sequence": "Contrasts that training never named, with frozen networks.",
}

experiments_app = typer.Typer(
    no_args_is_help=True,
    help="Measure what the method claims, on drawn healthy brains; minutes each, on one core.",
    epilog="Start with `anatomaly experiments edges -o edges`; a picture and a JSON file come out.",
)


def _make_command(name: str) -> Callable[..., None]:
    """Return the command of one experiment."""

    def command(
        output: Annotated[
            Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for picture and JSON.")
        ] = Path("experiments_output"),
        weights: Annotated[
            str, typer.Option(metavar="NAME", help="Bundled weights, or a folder of your own.")
        ] = "default",
        edges: Annotated[EdgeOption, CONFIG_OPTIONS["edges"]] = "auto",
        seed: Annotated[int, typer.Option(min=0, help="Another seed, other brains.")] = 0,
        count: Annotated[
            int | None, typer.Option(min=1, help="Brains; default: about two minutes' worth.")
        ] = None,
        data: Annotated[
            Path | None,
            typer.Option(
                envvar="ANATOMALY_DATA",
                exists=True,
                file_okay=False,
                help="Folder with the MNI152 T1 and T2 templates in templates/; disentanglement "
                "adds them.",
            ),
        ] = None,
        as_json: Json = False,
    ) -> None:
        from anatomaly.evaluation.experiments import catalogue
        from anatomaly.networks import keep_freed_memory, limit_threads

        keep_freed_memory()
        experiment = catalogue.EXPERIMENTS[name]
        count = count or experiment.count
        with json_document(as_json) as said:
            with exit_on_error():
                detector = catalogue.load_detector(weights, edges)
                with limit_threads(1):
                    result = experiment.run(detector, seed, count, data)
            about = {
                "weights": detector.card.name,
                "sha256": detector.card.sha256,
                "scorer_sha256": detector.card.scorer_sha256,
                "preparation": detector.card.preparation,
                "edges": detector.networks.model.edges,
                "seed": seed,
                "count": count,
            }
            picture, figures = catalogue.write_experiment(name, result, output, about)
            tables = catalogue.tables_of(result)
            said.update(question=experiment.question, about=about, tables=tables)
            said.update(picture=picture, figures=figures)
            console = make_console(160)
            console.print(experiment.question)
            for title, rows in tables.items():
                console.print(_table(title, rows))
            console.print(f"Picture: {picture}\nFigures: {figures}", soft_wrap=True)

    return command


for _name, _help in EXPERIMENTS.items():
    _text = f"{_help}\n\n- `anatomaly experiments {_name} -o {_name}`"
    experiments_app.command(_name, help=_text)(_make_command(_name))


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    """Return rows as a table whose columns are their keys."""
    from anatomaly.evaluation.experiments.catalogue import in_words

    table = Table(title=title, title_justify="left")
    for key, value in rows[0].items():
        table.add_column(
            key.replace("_", " "), justify="left" if isinstance(value, str) else "right"
        )
    for row in rows:
        table.add_row(*(in_words(value) for value in row.values()))
    return table
