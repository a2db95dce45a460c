"""The console that tables are printed on."""

from __future__ import annotations

from rich.console import Console


def make_console(width: int) -> Console:
    """Return a console; where there is no terminal it is `width` characters wide."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = width
    return console
