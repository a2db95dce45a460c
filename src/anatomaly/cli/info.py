"""`anatomaly info`: weights, versions, devices; fast, because torch is imported only on demand."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from anatomaly.cli.as_json import Json, json_document


def info(
    devices: Annotated[
        bool, typer.Option("--devices", help="Ask torch what it can use (takes seconds).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the bundled weights, the versions of what computes, and the devices.

    - `anatomaly info`
    - `anatomaly info --devices`
    - `anatomaly info --json`
    """
    from anatomaly.report.manifest import software_versions
    from anatomaly.weights import list_weights

    with json_document(as_json) as said:
        console = Console(highlight=False)
        width = None if console.is_terminal else 120
        cards = [asdict(card) for card in list_weights()]
        versions, found = software_versions(), _devices(ask_torch=devices)
        said.update(weights=cards, versions=versions, devices=found)
        for card in cards:
            console.print(_table(f"Weights: {card['name']}", _card_rows(card)), width=width)
        if not cards:
            console.print("Weights: none came with this installation")
        console.print(_table("Versions", versions), width=width)
        console.print(_table("Devices", found), width=width)


def _card_rows(card: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a card; of long curves what they say at the card's own thresholds."""
    from anatomaly.healthy_volume import HealthyVolume

    said = {}
    for sequence, curve in card.get("healthy_ml", {}).items():
        false_ml = HealthyVolume.from_json(curve).at(card["thresholds"].get(sequence, 1.0))
        if false_ml:
            said[sequence] = f"{false_ml.half:.2f} in half, {false_ml.most:.2f} in 95 %"
    return {**card, "healthy_ml": said} if said else card


def _table(title: str, rows: dict[str, Any]) -> Table:
    """Return a table of names and values; long nested values are left to their files."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name.replace("_", " "), _in_words(value))
    return table


def _in_words(value: Any) -> str:
    """Return a value as text that rich does not read as markup."""
    if isinstance(value, dict):
        value = ", ".join(f"{key} {item}" for key, item in value.items())
    elif isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return str(value).replace("[", r"\[")


def _devices(ask_torch: bool) -> dict[str, str]:
    """Return what could compute; without torch only what the operating system tells."""
    devices = {"CPU": f"{os.cpu_count()} cores"}
    if not ask_torch:
        driver = "driver found" if shutil.which("nvidia-smi") else "no driver found"
        devices["NVIDIA GPU"] = f"{driver} (`anatomaly info --devices` asks torch)"
        return devices
    import torch

    devices["CPU"] += f", torch uses {torch.get_num_threads()} threads"
    for index in range(torch.cuda.device_count()):
        devices[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices
