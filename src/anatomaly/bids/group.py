"""Tables of everything that a folder of derivatives holds, and the page over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anatomaly.anomaly.lesions import LESION_COLUMNS
from anatomaly.bids.dataset import Derivatives, read_json, write_table
from anatomaly.errors import BidsError
from anatomaly.report.index import read_rows, write_index
from anatomaly.scan.bids import select_sessions
from anatomaly.scan.bids_left_out import LeftOut

WHOSE = ("participant_id", "session_id", "map", "sequences")
VOLUME_COLUMNS = (*WHOSE, "lesions", "volume_ml", "brain_ml", "threshold", "warnings", "file")
LEFT_OUT_COLUMNS = ("participant_id", "session_id", "file", "reason")
LESION_TABLE_COLUMNS = (*WHOSE, *LESION_COLUMNS)


@dataclass(frozen=True)
class _Map:
    """One map: of a scan, or of a session."""

    path: Path
    says: Mapping[str, Any]
    lesions: list[dict[str, str]]

    @property
    def whose(self) -> dict[str, str]:
        """Whose map it is: the cells of `WHOSE`."""
        entities = dict(part.split("-", 1) for part in self.path.name.split("_") if "-" in part)
        return {
            "participant_id": f"sub-{entities['sub']}",
            "session_id": f"ses-{entities['ses']}" if "ses" in entities else "",
            "map": entities.get("desc", "session"),
            "sequences": "+".join(self.says.get("Sequences", ())),
        }


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
    lesions = [
        {**row, **each.whose, "number": row["index"]} for each in maps for row in each.lesions
    ]
    tables = {
        "group_volumes.tsv": (VOLUME_COLUMNS, [_volume_row(each, out.root) for each in maps]),
        "group_lesions.tsv": (LESION_TABLE_COLUMNS, lesions),
        "failures.tsv": (("scan", "error", "reason"), failures),
        "group_left_out.tsv": (LEFT_OUT_COLUMNS, [_left_out_row(x, out.source) for x in left_out]),
    }
    written = []
    for name, (columns, rows) in tables.items():
        if rows or name in ("group_volumes.tsv", "group_lesions.tsv"):
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


def _maps(root: Path) -> Iterator[_Map]:
    """Yield every whole map on its own grid, by name."""
    ending = "anat/*_label-L_*probseg.json"
    for marker in sorted([*root.glob(f"sub-*/{ending}"), *root.glob(f"sub-*/ses-*/{ending}")]):
        if "_space-" not in marker.name:
            name = marker.name.replace("_label-L_", "_seg-lesions_")
            table = marker.with_name(name.replace("_probseg.json", "_dseg.tsv"))
            path = marker.with_name(marker.name.replace(".json", ".nii.gz"))
            yield _Map(path, read_json(marker), list(map(dict, read_rows(table) or [])))


def _volume_row(each: _Map, root: Path) -> dict[str, str]:
    """Return a line of `group_volumes.tsv`."""
    total = sum(float(row["volume_mm3"]) for row in each.lesions) / 1000
    brain_ml, threshold = each.says.get("BrainVolumeMl"), each.says.get("Threshold")
    return {
        **each.whose,
        "lesions": str(len(each.lesions)),
        "volume_ml": f"{total:.3f}",
        "brain_ml": "" if brain_ml is None else f"{brain_ml:.0f}",
        "threshold": "" if threshold is None else f"{threshold:.4f}",
        "warnings": " | ".join(each.says.get("Warnings", ())),
        "file": each.path.relative_to(root).as_posix(),
    }
