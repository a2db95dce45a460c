"""The options of every command, as the programs themselves know them."""

from __future__ import annotations

import argparse
import re
from functools import partial

LINE_CHARACTERS = 90
"""Of a help text that is not Markdown; the terminal of whoever builds the site has no say."""


def list_commands() -> str:
    """Return arguments and options of `anatomaly` and its commands, in Markdown."""
    import typer
    from typer.cli import get_docs_for_click

    from anatomaly.cli.main import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="anatomaly", indent=1)
    return escape_patterns(text)


def list_bids_options() -> str:
    """Return the help of `anatomaly-bids`."""
    from anatomaly.cli.bids_app import make_parser

    parser = make_parser()
    parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, width=LINE_CHARACTERS)
    return f"```text\n{parser.format_help()}```"


def escape_patterns(text: str) -> str:
    r"""Keep the `*` of file patterns from being read as Markdown, outside code.

    >>> escape_patterns("all *_T1w and *_dlmuse, `*_T2w`")
    'all \\*_T1w and \\*_dlmuse, `*_T2w`'
    """
    pieces = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.S)
    pieces[::2] = [re.sub(r"(?<=\s)\*(?=[_.])", r"\\*", piece) for piece in pieces[::2]]
    return "".join(pieces)
