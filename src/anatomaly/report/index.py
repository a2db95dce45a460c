"""One page for a cohort: what failed first, then what stands out, then everything else.

It lies beside the result folders and links into them; the small pictures are inside it.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal
from urllib.parse import quote

from anatomaly.errors import AnatomalyError
from anatomaly.report.answer import Row, answer
from anatomaly.report.manifest import write_whole
from anatomaly.report.page import environment
from anatomaly.report.pictures import shrink

INDEX_FILE = "index.html"
THUMBNAIL_PIXELS = 200
HEAD_CHARACTERS = 2_000_000
"""Of a page, in which its picture of the largest finding stands."""

FAR_OUT = 3.5
"""Robust z-score, |x − median| / (1.4826 · MAD), from which a volume stands out (Iglewicz and
Hoaglin 1993, How to detect and handle outliers)."""

LEAST_SCANS = 5
"""Of one sequence, before volumes are compared."""

Group = Literal["failed", "look", "rest"]
_ORDER: tuple[Group, ...] = ("failed", "look", "rest")


@dataclass(frozen=True)
class Entry:
    """One line of the cohort page.

    Attributes:
        name: of the result folder, relative to the cohort's; of the scan where it failed.
        sequence: empty where it failed.
        volume_ml: sum of the table; None where there is none.
        count: lesions; None where it failed.
        reasons: why it failed or stands out, in plain sentences.
        failed: True where there is no result.
        link: to its page, relative to the cohort page; empty without a page.
        thumbnail: JPEG of the largest finding; None without a page.
    """

    name: str
    sequence: str = ""
    volume_ml: float | None = None
    count: int | None = None
    reasons: tuple[str, ...] = ()
    failed: bool = False
    link: str = ""
    thumbnail: bytes | None = None

    @property
    def group(self) -> Group:
        """Where the entry stands: failures first, then what to look at."""
        return "failed" if self.failed else "look" if self.reasons else "rest"


def write_index(folder: Path) -> Path:
    """Write `index.html` over every result folder below a folder, and over `failures.tsv`.

    Raises:
        OutputError: the folder cannot be written.
    """
    entries = [read_entry(result, folder) for result in result_folders(folder)]
    entries = sort_entries(mark_outliers(entries) + read_failures(folder))
    path = folder / INDEX_FILE
    write_whole(path, render_index(entries, folder.resolve().name))
    return path


def render_index(entries: Sequence[Entry], title: str) -> str:
    """Return the cohort page as HTML; every text in it is escaped."""
    counts = {group: sum(entry.group == group for entry in entries) for group in _ORDER}
    names = short_names([entry.name for entry in entries])
    template = environment().get_template("index.html.j2")
    return template.render(entries=entries, title=title, counts=counts, names=names)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return the last part of each name, where no other ends in the same.

    >>> short_names(["sub-01/figures/sub-01_T1w", "a/T1w", "b/T1w"])
    {'sub-01/figures/sub-01_T1w': 'sub-01_T1w', 'a/T1w': 'a/T1w', 'b/T1w': 'b/T1w'}
    """
    ends = Counter(Path(name).name for name in names)
    return {name: name if ends[Path(name).name] > 1 else Path(name).name for name in names}


def result_folders(folder: Path) -> list[Path]:
    """Return every result folder below a folder, sorted; hidden ones are unfinished."""
    results = (path.parent for path in folder.rglob("run.json"))
    return sorted(
        path
        for path in results
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_entry(result: Path, folder: Path) -> Entry:
    """Return the line of one result folder; one that cannot be read counts as failed."""
    name = result.relative_to(folder).as_posix() if result != folder else result.resolve().name
    try:
        run: dict[str, Any] = json.loads((result / "run.json").read_text("utf-8"))
        said = answer(run, read_rows(result / "lesions.tsv"))
        sequence = str(run["sequence"])
    except (AnatomalyError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"the result cannot be read ({type(error).__name__}); compute it again"
        return Entry(name, reasons=(reason,), failed=True)
    unusual = [f"{q.name} {q.value} ({q.usual})" for q in said.quality if not q.is_usual]
    page = result / "report.html"
    relative = page.relative_to(folder).as_posix()
    return Entry(
        name=name,
        sequence=sequence,
        volume_ml=said.volume_ml if (result / "lesions.tsv").is_file() else None,
        count=said.count,
        reasons=(*said.warnings, *unusual),
        link=quote(os.fsencode(relative)) if page.is_file() else "",
        thumbnail=read_thumbnail(page) if page.is_file() else None,
    )


def read_rows(table: Path) -> list[Row] | None:
    """Return the lines of `lesions.tsv`; None where it was not written."""
    if not table.is_file():
        return None
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_failures(folder: Path) -> list[Entry]:
    """Return a line for every scan of `failures.tsv`; none without that file."""
    rows = read_rows(folder / "failures.tsv") or []
    return [
        Entry(Path(row["scan"]).name, reasons=(f"{row['error']}: {row['reason']}",), failed=True)
        for row in rows
    ]


def read_thumbnail(page: Path) -> bytes | None:
    """Return the picture of the largest finding out of a page, made small; None without one.

    A damaged page has none either: it costs its own line a picture, not the others their index.
    """
    try:
        with page.open(encoding="utf-8") as file:
            head = file.read(HEAD_CHARACTERS)
        match = re.search(r'id="key-picture" src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)"', head)
        return shrink(base64.b64decode(match[1]), THUMBNAIL_PIXELS) if match else None
    except (OSError, ValueError):
        return None


def mark_outliers(entries: Iterable[Entry]) -> list[Entry]:
    """Give a reason to each scan whose volume is far above that of the others of its sequence."""
    entries = list(entries)
    marked = []
    for entry in entries:
        others = [e.volume_ml for e in entries if e.sequence == entry.sequence]
        volumes = [volume for volume in others if volume is not None]
        if entry.volume_ml is not None and _is_far_out(entry.volume_ml, volumes):
            reason = (
                f"{entry.volume_ml:.1f} mL, far above the median of {median(volumes):.1f} mL of "
                f"the {len(volumes)} {entry.sequence} scans here"
            )
            entry = replace(entry, reasons=(*entry.reasons, reason))
        marked.append(entry)
    return marked


def sort_entries(entries: Iterable[Entry]) -> list[Entry]:
    """Return failures, then what stands out, then the rest; the largest volume first in each."""
    return sorted(entries, key=lambda e: (_ORDER.index(e.group), -(e.volume_ml or 0.0), e.name))


def _is_far_out(value: float, values: Sequence[float]) -> bool:
    """Return whether a volume is far above the others; .1 mL of spread is always allowed."""
    if len(values) < LEAST_SCANS:
        return False
    middle = median(values)
    spread = max(1.4826 * median(abs(v - middle) for v in values), 0.1)
    return (value - middle) / spread > FAR_OUT
