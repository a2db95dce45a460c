"""Tables over many results: a line a map, and a line a lesion.

The folder of `anatomaly detect` and the group level of the BIDS App have the same tables; only the
columns that say whose a map is differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anatomaly.names import shown
from anatomaly.report.answer import Row, total_ml
from anatomaly.report.index import read_rows, result_folders
from anatomaly.report.manifest import write_whole

VOLUMES_FILE, LESIONS_FILE = "group_volumes.tsv", "group_lesions.tsv"
VOLUME_COLUMNS = ("lesions", "volume_ml", "brain_ml", "threshold", "warnings", "file")
RESULT_WHOSE = ("scan", "sequence")
"""Whose a map is, in a folder of results: the name of its folder there, and its sequence."""


@dataclass(frozen=True)
class ScoredMap:
    """What the tables say of one anomaly map.

    Attributes:
        whose: column to text.
        lesions: lines of its table.
        brain_ml: volume of the brain; None where it is not known.
        threshold: that its mask was cut at; None where it is not known.
        warnings: in plain sentences.
        file: what to open, relative to the tables.
    """

    whose: Mapping[str, str]
    lesions: Sequence[Row]
    brain_ml: float | None
    threshold: float | None
    warnings: Sequence[str]
    file: str


def write_cohort_tables(
    folder: Path,
    maps: Sequence[ScoredMap],
    whose: Sequence[str],
    lesion_columns: Sequence[str],
) -> list[Path]:
    """Write `group_volumes.tsv` and `group_lesions.tsv`, each whole or not at all.

    Args:
        folder: receives them.
        maps: in the order of the lines.
        whose: columns that stand first, keys of `ScoredMap.whose`.
        lesion_columns: of the tables of lesions, in order.

    Returns:
        The two files.

    Raises:
        OutputError: the folder cannot be written.
    """
    volumes, lesions = folder / VOLUMES_FILE, folder / LESIONS_FILE
    write_table(volumes, (*whose, *VOLUME_COLUMNS), map(_volume_row, maps))
    rows = ({**row, **each.whose} for each in maps for row in each.lesions)
    write_table(lesions, (*whose, *lesion_columns), rows)
    return [volumes, lesions]


def read_scored_maps(folder: Path) -> list[ScoredMap]:
    """Return what every result below a folder says, sorted; damaged ones are left to the index."""
    maps = []
    for result in result_folders(folder):
        try:
            run: dict[str, Any] = json.loads((result / "run.json").read_text("utf-8"))
            rows = read_rows(result / "lesions.tsv")
            if rows is None:
                continue
            name = result.relative_to(folder).as_posix() if result != folder else result.name
            maps.append(
                ScoredMap(
                    whose={"scan": shown(name), "sequence": str(run["sequence"])},
                    lesions=rows,
                    brain_ml=run.get("preparation", {}).get("quality", {}).get("brain_ml"),
                    threshold=float(run["threshold"]),
                    warnings=[str(warning) for warning in run.get("warnings", ())],
                    file=shown((result / "lesions.tsv").relative_to(folder).as_posix()),
                )
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return maps


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a TSV as BIDS has it (n/a where there is nothing), all of it or nothing.

    Raises:
        OutputError: the folder cannot be written.
    """
    lines = [columns]
    lines += [
        [" ".join((row.get(name) or "").split()) or "n/a" for name in columns] for row in rows
    ]
    write_whole(path, "\n".join(map("\t".join, lines)) + "\n")


def _volume_row(each: ScoredMap) -> dict[str, str]:
    """Return a line of `group_volumes.tsv`."""
    return {
        **each.whose,
        "lesions": str(len(each.lesions)),
        "volume_ml": f"{total_ml(each.lesions):.3f}",
        "brain_ml": "" if each.brain_ml is None else f"{each.brain_ml:.0f}",
        "threshold": "" if each.threshold is None else f"{each.threshold:.4f}",
        "warnings": " | ".join(each.warnings),
        "file": each.file,
    }
