"""Tables of everything that a folder of derivatives holds, and the page over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from anatomaly.anomaly.lesions import LESION_COLUMNS
from anatomaly.bids.dataset import Derivatives, read_json
from anatomaly.errors import BidsError
from anatomaly.report.cohort_tables import ScoredMap, write_cohort_tables, write_table
from anatomaly.report.index import read_rows, write_index
from anatomaly.scan.bids import select_sessions
from anatomaly.scan.bids_left_out import LeftOut

WHOSE = ("participant_id", "session_id", "map", "sequences")
LEFT_OUT_COLUMNS = ("participant_id", "session_id", "file", "reason")


def write_group(out: Derivatives) -> list[Path]:
    """Write `group_*.tsv` (volumes, lesions, left_out), `failures.tsv` and `index.html`.

    A map is that of one scan (T1w, T2w, FLAIR) or of a session; a session of one sequence has
    both, so filter by the column `map` before you add up.

    Args:
        out: the data set; of the raw one the names alone are read, for what is left out of it.

    Returns:
        The files, of those there is something to say in.

    Raises:
        BidsError: there is no result yet.
        OutputError: the folder cannot be written.
    """
    maps = list(_maps(out.root))
    left_out: tuple[LeftOut, ...] = ()
    with suppress(BidsError, OSError):  # the raw data set is not here any more
        left_out = select_sessions(out.source).left_out
    failures = out.read_logs() + [
        {"scan": out.uri(left.path), "error": "BidsError", "reason": left.reason}
        for left in left_out
        if left.refused
    ]
    if not maps and not failures:
        raise BidsError(f"{out.root}: no results in it; run the participant level first")
    written = write_cohort_tables(out.root, maps, WHOSE, LESION_COLUMNS)
    tables = {
        "failures.tsv": (("scan", "error", "reason"), failures),
        "group_left_out.tsv": (LEFT_OUT_COLUMNS, [_left_out_row(x, out.source) for x in left_out]),
    }
    for name, (columns, rows) in tables.items():
        if rows:
            write_table(out.root / name, columns, rows)
            written.append(out.root / name)
        else:
            (out.root / name).unlink(missing_ok=True)
    return [*written, write_index(out.root)]


def _left_out_row(left: LeftOut, source: Path) -> dict[str, str]:
    """Return a line of `group_left_out.tsv`: whose folder it lies in, not whose name it has."""
    relative = left.path.relative_to(source)
    visits = [part for part in relative.parts if part.startswith("ses-")]
    return {
        "participant_id": relative.parts[0],
        "session_id": visits[0] if len(relative.parts) > 1 and visits else "",
        "file": relative.as_posix(),
        "reason": left.reason,
    }


def _maps(root: Path) -> Iterator[ScoredMap]:
    """Yield every whole map on its own grid, by name."""
    ending = "anat/*_label-L_*probseg.json"
    for marker in sorted([*root.glob(f"sub-*/{ending}"), *root.glob(f"sub-*/ses-*/{ending}")]):
        if "_space-" in marker.name:
            continue
        says = read_json(marker)
        name = marker.name.replace("_label-L_", "_seg-lesions_")
        table = marker.with_name(name.replace("_probseg.json", "_dseg.tsv"))
        path = marker.with_name(marker.name.replace(".json", ".nii.gz"))
        yield ScoredMap(
            whose=_whose(marker.name, says),
            lesions=[{**row, "number": row["index"]} for row in read_rows(table) or ()],
            brain_ml=says.get("BrainVolumeMl"),
            threshold=says.get("Threshold"),
            warnings=says.get("Warnings", ()),
            file=path.relative_to(root).as_posix(),
        )


def _whose(name: str, says: Mapping[str, Any]) -> dict[str, str]:
    """Return whose map it is: the cells of `WHOSE`."""
    entities = dict(part.split("-", 1) for part in name.split("_") if "-" in part)
    return {
        "participant_id": f"sub-{entities['sub']}",
        "session_id": f"ses-{entities['ses']}" if "ses" in entities else "",
        "map": entities.get("desc", "session"),
        "sequences": "+".join(says.get("Sequences", ())),
    }
