"""`anatomaly train`: how weights are made."""

from __future__ import annotations

import typer

train_app = typer.Typer(no_args_is_help=True, help="Make weights of your own.")
