"""`anatomaly tabulate`: results follow the masks that a person corrected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anatomaly.cli.as_json import Json, json_document
from anatomaly.cli.cohort import say_over_all, write_over_all
from anatomaly.cli.progress import Display
from anatomaly.errors import AnatomalyError

if TYPE_CHECKING:
    from anatomaly.corrected import Edit


def tabulate(
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            exists=True,
            file_okay=False,
            help="Folder with results, one result folder, or BIDS derivatives of anatomaly-bids.",
        ),
    ],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")] = False,
    as_json: Json = False,
) -> None:
    """Count the lesions again after you edited an anomaly mask, in any program.

    Table, numbered lesions, overview, page and DICOM files follow the mask; run.json keeps what was
    edited. Masks that nobody edited are left alone.

    Exit status: 0 if every mask could be read, 1 if any failed or there is no result.

    - `anatomaly tabulate results`
    - `anatomaly tabulate derivatives`
    """
    with json_document(as_json) as said:
        with Display(0, quiet=quiet) as display:
            try:
                root, work = _find_work(output)
            except AnatomalyError as error:
                display.fail(error)
                raise typer.Exit(1) from error
            edited, failed = _do(work, display)
            unchanged = [name for name in work if name not in edited and name not in failed]
            said.update(edited=edited, failed=failed, unchanged=unchanged, files=[])
            display.note(
                f"{len(edited)} of {len(work)} masks were edited and tabulated"
                + (f"; {len(failed)} failed" if failed else "")
            )
            is_cohort = any((root / name).is_file() for name in ("index.html", "group_volumes.tsv"))
            if edited and is_cohort:
                try:
                    said["files"] = write_over_all(root)
                    display.note(say_over_all(said["files"]))
                except AnatomalyError as error:
                    display.fail(error)
                    failed[str(root)] = f"{type(error).__name__}: {error}"
        if failed or not work:
            raise typer.Exit(1)


def _find_work(output: Path) -> tuple[Path, dict[str, Callable[[], Edit | None]]]:
    """Return the folder over all results, and for each mask below what brings its result in line.

    Raises:
        ScanError: there is no result.
        BidsError: derivatives whose raw data set is not there.
    """
    from functools import partial

    from anatomaly.bids.corrected import find_corrections
    from anatomaly.bids.dataset import derivatives_at
    from anatomaly.corrected import correct_result
    from anatomaly.errors import ScanError
    from anatomaly.report.index import result_folders

    if derivatives := derivatives_at(output):
        return derivatives.root, find_corrections(derivatives)
    folders = result_folders(output)
    if not folders:
        raise ScanError(
            f"{output}: holds no result (no run.json below it); give the folder that "
            "`anatomaly detect -o` wrote to"
        )
    is_single = (output / "run.json").is_file()
    work = {str(folder): partial(correct_result, folder) for folder in folders}
    return (output.resolve().parent if is_single else output), dict(work)


def _do(
    work: Mapping[str, Callable[[], Edit | None]], display: Display
) -> tuple[dict[str, dict[str, object]], dict[str, str]]:
    """Do one result after the other; a bad one never stops the others.

    Returns:
        What was edited, and why which failed.
    """
    edited: dict[str, dict[str, object]] = {}
    failed: dict[str, str] = {}
    for name, correct in work.items():
        try:
            edit = correct()
        except (AnatomalyError, OSError, KeyError, TypeError, ValueError) as error:
            failed[name] = f"{type(error).__name__}: {error}"
            display.line(f"{name}: FAILED: {failed[name]}", style="red")
            continue
        if edit is None:
            display.note(f"{name}: the mask was not edited")
            continue
        edited[name] = {**edit.record, "lesions": len(edit.lesions)}
        display.note(
            f"{name}: {edit.added_ml:.2f} mL added, {edit.removed_ml:.2f} mL removed; "
            f"{len(edit.lesions)} lesions",
            style="green",
        )
    return edited, failed
