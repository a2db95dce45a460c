"""`--json`: what a command says, as one JSON document on standard output and nothing else there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Annotated, Any

import typer

from anatomaly.report.manifest import plain

Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document on standard output; what people read goes to standard error.",
    ),
]


@contextmanager
def json_document(wanted: bool) -> Iterator[dict[str, Any]]:
    """Yield a dictionary; what the block puts into it is printed as JSON when it ends.

    Until then whatever is printed goes to standard error, tables of the same command too. NaN and
    infinity become null. A block that fails before it has put anything in prints nothing; one that
    leaves with an exit status prints what it has.

    Args:
        wanted: whether the user asked for it; else nothing is changed and nothing printed.
    """
    said: dict[str, Any] = {}
    if not wanted:
        yield said
        return
    stream = sys.stdout
    with redirect_stdout(sys.stderr):
        try:
            yield said
        except typer.Exit:
            _print(said, stream)
            raise
    _print(said, stream)


def _print(said: dict[str, Any], stream: Any) -> None:
    """Print a document, in ASCII: any terminal and any reader takes it."""
    if said:
        print(json.dumps(plain(said), indent=2, allow_nan=False), file=stream)
