"""`anatomaly report`: build the pages of results again, and the page of the cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anatomaly.cli.as_json import Json, json_document
from anatomaly.cli.cohort import say_over_all, write_over_all
from anatomaly.cli.progress import Display
from anatomaly.errors import AnatomalyError


def report(
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            exists=True,
            file_okay=False,
            help="Folder with results, or one result folder.",
        ),
    ],
    pages: Annotated[
        bool,
        typer.Option(
            "--pages/--index-only", help="Build every page, or what lies over all results alone."
        ),
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")] = False,
    as_json: Json = False,
) -> None:
    """Build report.html of every result below OUT again, and what lies over all of them.

    That is OUT/index.html, group_volumes.tsv (a line a scan) and group_lesions.tsv (a line a
    lesion).

    Exit status: 0 if every page was written, 1 if any failed or there is no result.

    - `anatomaly report results`
    - `anatomaly report results --index-only`
    - `anatomaly report results --json`
    """
    from anatomaly.report.index import result_folders

    folders = result_folders(output)
    failed: list[str] = []
    with json_document(as_json) as said, Display(len(folders), quiet=quiet) as display:
        if not folders:
            display.line(
                f"{output}: holds no result (no run.json below it); give the folder that "
                "`anatomaly detect -o` wrote to",
                style="red",
            )
            raise typer.Exit(1)
        for folder in folders if pages else ():
            display.start_scan(folder.name)
            if not _rebuild(folder, display):
                failed.append(str(folder))
        said.update(results=folders, failed=failed, files=[])
        try:
            said["files"] = write_over_all(output)
            display.note(say_over_all(said["files"]), style="green")
        except AnatomalyError as error:
            display.fail(error)
            failed.append(str(output))
    raise typer.Exit(1 if failed else 0)


def _rebuild(folder: Path, display: Display) -> bool:
    """Build one page; return whether that went well. A bad result never stops the others."""
    from anatomaly.reopen import rebuild_page

    try:
        display.note(f"{folder.name} -> {rebuild_page(folder)}")
    except AnatomalyError as error:
        display.line(f"{folder}: {type(error).__name__}: {error}", style="red")
        return False
    except Exception as error:
        display.line(
            f"{folder}: the result is damaged ({type(error).__name__}: {error}); run detect again",
            style="red",
        )
        return False
    return True
