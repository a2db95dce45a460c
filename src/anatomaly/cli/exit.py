"""How a command ends that cannot go on: one line that says why, and exit status 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from anatomaly.errors import AnatomalyError
from anatomaly.names import writable


@contextmanager
def exit_on_error(
    *others: type[Exception], say: Callable[[str], None] = lambda text: typer.echo(text, err=True)
) -> Iterator[None]:
    """Leave with 1 after an `AnatomalyError`, or one of `others`; what is unforeseen passes.

    Args:
        others: further errors that the user can mend.
        say: receives the line; standard error unless given.
    """
    kinds: tuple[type[Exception], ...] = (AnatomalyError, *others)
    try:
        yield
    except kinds as error:
        say(writable(f"{type(error).__name__}: {error}"))
        raise typer.Exit(1) from error
